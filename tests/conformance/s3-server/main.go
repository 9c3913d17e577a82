// A store that speaks S3 and is not ours: the Versity gateway over a folder, put together from its authors' public parts so
// that what the tests do not need (Azure, plugins) is not built. It checks signatures and keeps conditions.
//
// usage: s3-server PORT FOLDER METADATA [CERTIFICATE KEY]    (keys: ROOT_ACCESS_KEY_ID, ROOT_SECRET_ACCESS_KEY)
package main

import (
	"context"
	"log"
	"os"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

func main() {
	if len(os.Args) != 4 && len(os.Args) != 6 {
		log.Fatal("usage: s3-server PORT FOLDER METADATA [CERTIFICATE KEY]")
	}
	metadata, err := meta.NewSideCar(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	folder, err := posix.New(os.Args[2], metadata, posix.PosixOpts{SideCarDir: os.Args[3]})
	if err != nil {
		log.Fatal(err)
	}
	config := &embedgw.Config{
		RootUserAccess:    os.Getenv("ROOT_ACCESS_KEY_ID"),
		RootUserSecret:    os.Getenv("ROOT_SECRET_ACCESS_KEY"),
		Ports:             []string{"127.0.0.1:" + os.Args[1]},
		MaxConnections:    1000,
		MaxRequests:       1000,
		MultipartMaxParts: 10000,
		KeepAlive:         true,
		Quiet:             true,
	}
	if len(os.Args) == 6 {
		config.CertFile, config.KeyFile = os.Args[4], os.Args[5]
	}
	log.Fatal(embedgw.RunVersityGW(context.Background(), folder, config))
}
