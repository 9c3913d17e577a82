//! The way out of a bank: clients and agents reach the service through an HTTP proxy, and what it refuses is told.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::support::keyward::{Keyward, binary, clean, shared, wait_until};

/// `name:password`, in Base64.
const CREDENTIALS: &str = "Proxy-Authorization: Basic Y2xlcms6b3BlbiBzZXNhbWU=";

/// A proxy that tunnels to this machine for whoever knows the password, and counts.
struct Proxy {
    port: u16,
    tunnels: Arc<AtomicUsize>,
}

impl Proxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, tunnels) = (listener.local_addr().unwrap().port(), Arc::<AtomicUsize>::default());
        let counted = tunnels.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let counted = counted.clone();
                thread::spawn(move || serve(client, &counted));
            }
        });
        Self { port, tunnels }
    }

    /// A copy of a role's profile that goes through it.
    fn profile(&self, keyward: &Keyward, role: &str, credentials: &str) -> PathBuf {
        let text = fs::read_to_string(keyward.profile(role).join("profile.toml")).unwrap();
        let text = format!("proxy = \"http://{credentials}127.0.0.1:{}\"\n{text}", self.port);
        // Beside the others: its paths count from there.
        let path = keyward.profile(role).join(format!("through-{}.toml", self.port));
        fs::write(&path, text).unwrap();
        path
    }
}

fn serve(mut client: TcpStream, counted: &AtomicUsize) {
    let mut lines = BufReader::new(client.try_clone().unwrap());
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap_or_default() == 0 {
            return;
        }
        if line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let target = head[0].strip_prefix("CONNECT ").and_then(|rest| rest.strip_suffix(" HTTP/1.1")).unwrap();
    if !head.iter().any(|line| line == CREDENTIALS) {
        client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").unwrap();
        return;
    }
    let mut server = TcpStream::connect(target).unwrap();
    client.write_all(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n").unwrap();
    counted.fetch_add(1, Ordering::Relaxed);
    let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || pump(&mut from_server, &mut to_client));
    pump(&mut client, &mut server);
}

fn pump(from: &mut TcpStream, to: &mut TcpStream) {
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _gone = to.shutdown(std::net::Shutdown::Both);
}

/// A process that ends with the story.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _gone = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[test]
fn clients_and_agents_go_through_a_proxy_and_are_told_when_it_refuses() {
    let (keyward, proxy) = (shared(), Proxy::start());
    let through = proxy.profile(keyward, "operator", "clerk:open%20sesame@");
    keyward.run_with(&through, &["token", "list"]).done();
    assert_eq!(proxy.tunnels.load(Ordering::Relaxed), 1);

    let refused = keyward.run_with(&proxy.profile(keyward, "app", "clerk:wrong@"), &["token", "list"]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.err.contains("user name and password") && !refused.err.contains("wrong"), "{refused:?}");
    assert_eq!(proxy.tunnels.load(Ordering::Relaxed), 1);

    let through = proxy.profile(keyward, "agent", "clerk:open%20sesame@");
    let mut agent = clean(binary());
    agent.args(["--output", "json", "token", "agent", "--token", "nowhere", "--pin-file"]);
    agent.arg(keyward.dir().join("token.pin")).arg("--journal").arg(keyward.work("proxied.journal"));
    fs::create_dir_all(keyward.work("empty-token")).unwrap();
    agent.env("KEYWARD_PROFILE", through).env("HSM_SIM_DIR", keyward.work("empty-token"));
    let log = fs::File::create(keyward.work("proxied.log")).unwrap();
    let _agent =
        Ended(agent.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    let said = || fs::read_to_string(keyward.work("proxied.log")).unwrap();
    wait_until("the agent to hold a stream through the proxy", || said().contains("\"connected\""));
    assert!(said().contains("\"missing\""), "a token that is not there is named, and may come later");
    assert_eq!(proxy.tunnels.load(Ordering::Relaxed), 2);
}

#[test]
fn the_ledgers_nodes_are_reached_through_the_proxy_too() {
    let (keyward, proxy) = (shared(), Proxy::start());
    let through = proxy.profile(keyward, "auditor", "clerk:open%20sesame@");
    let answer = keyward.run_with(&through, &["--output", "json", "ledger", "status"]).done().json();
    let nodes = answer["nodes"].as_array().unwrap();
    assert!(nodes.iter().all(|node| node["error"].is_null()), "{answer}");
    assert_eq!(proxy.tunnels.load(Ordering::Relaxed), nodes.len(), "one tunnel to each node");
    keyward.run_with(&through, &["ledger", "state", "validators"]).done();
    assert!(proxy.tunnels.load(Ordering::Relaxed) > nodes.len());

    let before = proxy.tunnels.load(Ordering::Relaxed);
    let refused = keyward.run_with(&proxy.profile(keyward, "app", "clerk:wrong@"), &["ledger", "status"]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.err.contains("user name and password") && !refused.err.contains("wrong"), "{refused:?}");
    assert_eq!(proxy.tunnels.load(Ordering::Relaxed), before, "never past a proxy that refuses");
}
