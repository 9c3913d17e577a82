// A witness (c2sp.org/tlog-witness) out of the public parts that witnesses are made of: golang.org/x/mod/sumdb/note,
// transparency-dev/formats and transparency-dev/merkle. Nothing of this ledger is in it. It is fed with checkpoints of the
// ledger: it must take the good ones, refuse the others, and its parts must accept the validators' signatures.
//
// usage: tlog MANIFEST    (JSON; the paths in it are relative to its folder)
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

type manifest struct {
	Origin    string   // first line of every checkpoint
	Log       string   // verifier line of the validator that speaks as the log
	Cosigners []string // verifier lines of validators that must have cosigned every good note
	Notes     []string // files with good notes
	Requests  []struct {
		Name   string
		Body   string // file with the body of add-checkpoint
		Status int    // what the witness must answer
		Answer string // file for the witness's signature lines, if the status is 200
	}
	Witness string // file for the witness's own verifier line
}

// witness keeps the newest checkpoint of one log that it signed.
type witness struct {
	origin string
	log    note.Verifier
	signer note.Signer
	newest *log.Checkpoint
}

// addCheckpoint answers a request as c2sp.org/tlog-witness says: a status, and its signature line.
func (w *witness) addCheckpoint(body []byte) (int, []byte) {
	head, raw, found := bytes.Cut(body, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	var oldSize uint64
	if _, err := fmt.Sscanf(lines[0], "old %d", &oldSize); !found || err != nil {
		return http.StatusBadRequest, nil
	}
	hashes := make([][]byte, 0, len(lines))
	for _, line := range lines[1:] {
		hash, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			return http.StatusBadRequest, nil
		}
		hashes = append(hashes, hash)
	}
	if origin, _, _ := bytes.Cut(raw, []byte("\n")); string(origin) != w.origin {
		return http.StatusNotFound, nil
	}
	next, _, n, err := log.ParseCheckpoint(raw, w.origin, w.log)
	if err != nil {
		return http.StatusForbidden, nil
	}
	if oldSize > next.Size {
		return http.StatusBadRequest, nil
	}
	known := w.newest
	if known == nil {
		known = &log.Checkpoint{Origin: w.origin, Hash: rfc6962.DefaultHasher.EmptyRoot()}
	}
	if oldSize != known.Size {
		return http.StatusConflict, nil
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, known.Size, next.Size, hashes, known.Hash, next.Hash); err != nil {
		return http.StatusUnprocessableEntity, nil
	}
	signed, err := note.Sign(&note.Note{Text: n.Text}, w.signer)
	if err != nil {
		return http.StatusInternalServerError, nil
	}
	w.newest = next
	return http.StatusOK, signed[len(n.Text)+1:]
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Println("failed", err)
		os.Exit(1)
	}
}

func run(path string) error {
	var m manifest
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return err
	}
	file := func(name string) string { return filepath.Join(filepath.Dir(path), name) }

	logVerifier, err := note.NewVerifier(m.Log)
	if err != nil {
		return fmt.Errorf("the log's verifier line: %w", err)
	}
	verifiers := make([]note.Verifier, 0, len(m.Cosigners))
	for _, line := range m.Cosigners {
		v, err := fnote.NewVerifierForCosignatureV1(line)
		if err != nil {
			return fmt.Errorf("a cosigner's verifier line %q: %w", line, err)
		}
		verifiers = append(verifiers, v)
	}
	for _, name := range m.Notes {
		raw, err := os.ReadFile(file(name))
		if err != nil {
			return err
		}
		cp, _, n, err := log.ParseCheckpoint(raw, m.Origin, logVerifier, verifiers...)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if got, want := len(n.Sigs), 1+len(verifiers); got != want {
			return fmt.Errorf("%s: %d signatures verify, %d should", name, got, want)
		}
		fmt.Printf("passed %s: size %d, %d signatures\n", name, cp.Size, len(n.Sigs))
	}

	private, public, err := note.GenerateKey(rand.Reader, "witness.example/test")
	if err != nil {
		return err
	}
	signer, err := fnote.NewSignerForCosignatureV1(private)
	if err != nil {
		return err
	}
	line, err := fnote.VKeyToCosignatureV1(public)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file(m.Witness), []byte(line), 0o600); err != nil {
		return err
	}
	w := &witness{origin: m.Origin, log: logVerifier, signer: signer}
	for _, request := range m.Requests {
		body, err := os.ReadFile(file(request.Body))
		if err != nil {
			return err
		}
		status, answer := w.addCheckpoint(body)
		if status != request.Status {
			return fmt.Errorf("%s: the witness answers %d, not %d", request.Name, status, request.Status)
		}
		if status == http.StatusOK {
			if err := os.WriteFile(file(request.Answer), answer, 0o600); err != nil {
				return err
			}
		}
		fmt.Printf("passed %s: the witness answers %d\n", request.Name, status)
	}
	return nil
}
