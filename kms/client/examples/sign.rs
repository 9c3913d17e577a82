//! An app that signs: one order, a batch, a stream; each answer is verified before it is printed.
//!
//! ```console
//! $ cargo run --release -p keyward-client --example sign -- https://localhost:7443 DIR payouts
//! ```
//!
//! DIR holds `ca.pem`, `certificate.pem`, `key.pem` and the file `trust`; `payouts` is a key of the app.
#![allow(clippy::print_stdout, reason = "a program that prints")]

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use keyward_client::{Client, Connection, Identity, Order};
use zeroize::Zeroizing;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, folder, key] = arguments.as_slice() else {
        return Err("usage: sign ADDRESS DIR KEY".into());
    };
    let client = connect(address, Path::new(folder)).await?;

    let order = Order::message(key, b"pay 12.50 to alice".to_vec())?;
    let first = client.sign(&order).await?;
    let again = client.sign(&order).await?;
    println!("one: {} bytes, the same again: {}", first.signature.len(), first.receipt == again.receipt);

    let orders: Vec<_> =
        (0..10).map(|n| Order::message(key, format!("pay {n}"))).collect::<Result<_, _>>()?;
    let signed = client.sign_batch(&orders).await?.into_iter().filter(Result::is_ok).count();
    println!("batch: {signed} of {}", orders.len());

    let (mut stream, mut answers) = client.sign_stream(16).await?;
    let key = key.clone();
    let sending = tokio::spawn(async move {
        for n in 0..100 {
            stream.send(Order::message(&key, format!("stream {n}"))?).await?;
        }
        Ok::<_, keyward_client::ClientError>(())
    });
    let mut signed = 0;
    while let Some(answered) = answers.next().await? {
        answered.result?;
        signed += 1;
    }
    sending.await??;
    println!("stream: {signed}");
    Ok(())
}

async fn connect(address: &str, folder: &Path) -> Result<Client, Box<dyn Error>> {
    let read = |name: &str| std::fs::read_to_string(folder.join(name));
    let identity =
        Identity { certificate_pem: read("certificate.pem")?, key_pem: Zeroizing::new(read("key.pem")?) };
    let connection =
        Connection { address: address.to_owned(), ca_pem: read("ca.pem")?, identity: Some(identity) };
    let client = Client::connect(&connection).await?.with_trust(read("trust")?.as_bytes())?;
    Ok(client.with_deadline(Duration::from_secs(10)).with_tries(4))
}
