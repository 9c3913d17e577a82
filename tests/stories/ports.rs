//! Random, cut off and oversized bytes at every port of running processes: they live, and others notice nothing.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use crate::support::{Random, keyward::Keyward};

/// Pieces of what the ports speak: TLS, HTTP/2, gRPC frames, lengths that promise too much.
const PIECES: &[&[u8]] = &[
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x00\x00\x00\x00",
    b"\x00\xff\xff\xff\xff",
    b"GET / HTTP/1.1\r\n\r\n",
];

fn noise(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.below(6) {
        if random.below(2) == 0 {
            bytes.extend_from_slice(PIECES[random.below(PIECES.len() as u64) as usize]);
        } else {
            let len = random.below(300);
            bytes.extend((0..len).map(|_| random.below(256) as u8));
        }
    }
    if random.below(8) == 0 {
        let len = random.below(3 << 20);
        bytes.resize(bytes.len() + len as usize, random.below(256) as u8);
    }
    bytes
}

/// Says it and hangs up, or waits for the other side to.
fn say(address: &str, bytes: &[u8], wait: bool) {
    let mut stream = TcpStream::connect(address).expect("the port still takes callers");
    // The other side may hang up in the middle of it.
    let _cut = stream.write_all(bytes);
    if wait {
        let _half = stream.shutdown(std::net::Shutdown::Write);
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut answer = Vec::new();
        let _alert_or_reset = stream.read_to_end(&mut answer);
    }
}

/// Every port that a process of a small installation listens on.
fn ports(keyward: &Keyward) -> Vec<String> {
    let mut ports: Vec<String> = keyward.nodes();
    ports.push(keyward.service());
    for node in 1..=4 {
        let config = std::fs::read_to_string(keyward.dir().join(format!("node-{node}/node.toml"))).unwrap();
        let config: toml::Value = toml::from_str(&config).unwrap();
        ports.push(config["peer_listen"].as_str().unwrap().to_owned());
    }
    ports.iter().map(|port| port.trim_start_matches("https://").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_at_every_port_ends_no_process_and_signing_goes_on_beside_it() {
    let keyward = Keyward::start();
    keyward.json(&["key", "create", "--alias", "payroll", "--scheme", "ed25519"]);
    let client = keyward.client("app").await;
    let processes = keyward.children();
    let ports = ports(&keyward);
    assert_eq!(ports.len(), 9);
    let rounds = if keyward_tests::soak() { 4000 } else { 40 };
    let mut random = Random::of("noise at every port");
    for round in 0..rounds {
        for port in &ports {
            let (port, bytes, wait) = (port.clone(), noise(&mut random), random.below(4) == 0);
            tokio::task::spawn_blocking(move || say(&port, &bytes, wait)).await.unwrap();
        }
        if round % 10 == 0 {
            client.sign_message("payroll", format!("beside noise {round}").as_bytes()).await.unwrap();
        }
    }
    // Callers that never say anything hold no place that others need.
    let silent: Vec<_> =
        ports.iter().flat_map(|port| (0..40).map(move |_| TcpStream::connect(port).unwrap())).collect();
    client.sign_message("payroll", b"beside silent callers").await.unwrap();
    drop(silent);
    assert_eq!(keyward.children(), processes, "nobody was started again");
}
