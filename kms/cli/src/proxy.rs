//! Which proxy the environment names (`https_proxy` and `no_proxy`, in either case of letters), and the way to the
//! ledger's nodes through it. The tunnel itself is the client's.

use std::sync::Arc;

use keyward_client::Proxy;
use keyward_ledger_client::{Dial, Dialled};
use tokio::net::TcpStream;

use crate::failure::{Failure, Result};

/// How the ledger's nodes are reached: a named proxy stands over the environment, an empty one means none.
pub(crate) fn way_out(named: Option<&str>, nodes: &[String]) -> Result<Option<Arc<dyn Dial>>> {
    let variable = |name: &str| std::env::var(name).ok();
    let way = Way::choose(named, nodes, variable)?;
    Ok(way.map(|way| Arc::new(way) as Arc<dyn Dial>))
}

/// The proxy, and the hosts that are reached through it.
#[derive(Debug)]
struct Way {
    proxy: Proxy,
    hosts: Vec<String>,
}

impl Way {
    fn choose(
        named: Option<&str>,
        nodes: &[String],
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>> {
        let of_node = |node: &String| match named {
            Some(named) => Some(named.to_owned()).filter(|text| !text.is_empty()),
            None => of_environment(node, &variable),
        };
        let through: Vec<_> = nodes.iter().filter_map(|node| Some((host_of(node), of_node(node)?))).collect();
        let Some((_, text)) = through.first() else { return Ok(None) };
        let proxy = Proxy::parse(text).map_err(|error| {
            Failure::usage("the proxy cannot be used", "correct `proxy`, or `https_proxy`").because(&error)
        })?;
        let hosts = through.iter().map(|(host, _)| (*host).to_owned()).collect();
        Ok(Some(Self { proxy, hosts }))
    }
}

impl Dial for Way {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialled<'a> {
        Box::pin(async move {
            if self.hosts.iter().any(|known| known == host) {
                let target =
                    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
                return Ok(self.proxy.tunnel(&target).await?);
            }
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        })
    }
}

/// The proxy for an address of the service, if there is one. This machine itself is never reached through one that only
/// the environment names.
pub(crate) fn of_environment(service: &str, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let read = |name: &str| {
        let value = variable(name).or_else(|| variable(&name.to_uppercase()));
        value.filter(|value| !value.trim().is_empty())
    };
    let proxy = read("https_proxy")?;
    let host = host_of(service);
    let local =
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let exempt =
        read("no_proxy").is_some_and(|names| names.split(',').any(|name| is_under(host, name.trim())));
    (!local && !exempt).then_some(proxy)
}

/// `https://host:port/..` -> `host`, without the brackets of an IPv6 address.
fn host_of(service: &str) -> &str {
    let rest = service.split_once("://").map_or(service, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(inside) => inside.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// `*`, the host itself, or a domain that it is in.
fn is_under(host: &str, name: &str) -> bool {
    let name = name.trim_start_matches('.');
    let (host, name) = (host.to_ascii_lowercase(), name.to_ascii_lowercase());
    name == "*" || (!name.is_empty() && (host == name || host.ends_with(&format!(".{name}"))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::{Way, of_environment};

    fn proxy(service: &str, variables: &[(&str, &str)]) -> Option<String> {
        of_environment(service, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_names_a_proxy_in_either_case() {
        for name in ["https_proxy", "HTTPS_PROXY"] {
            assert_eq!(
                proxy("https://custody.example:7000", &[(name, "http://p:1")]).as_deref(),
                Some("http://p:1")
            );
        }
        assert_eq!(proxy("https://custody.example:7000", &[("http_proxy", "http://p:1")]), None);
        assert_eq!(proxy("https://custody.example:7000", &[("https_proxy", "")]), None);
    }

    #[test]
    fn this_machine_and_exempt_hosts_are_reached_directly() {
        let set = |no: &'static str| [("https_proxy", "http://p:1"), ("no_proxy", no)];
        for local in ["https://localhost:1", "https://127.0.0.1:1", "https://[::1]:1"] {
            assert_eq!(proxy(local, &set("")), None, "{local}");
        }
        for no in ["*", "example", ".example", "x, custody.example"] {
            assert_eq!(proxy("https://custody.example:7000", &set(no)), None, "{no}");
        }
        for no in ["", "other", "stody.example", "custody.example.com"] {
            assert!(proxy("https://custody.example:7000", &set(no)).is_some(), "{no}");
        }
    }

    #[test]
    fn nodes_are_reached_through_the_named_proxy_or_that_of_the_environment_but_for_exempt_ones() {
        let nodes =
            ["https://a.example:1".to_owned(), "https://[::1]:2".to_owned(), "https://b.test:3".to_owned()];
        let variable = |name: &str| match name {
            "https_proxy" => Some("http://p:1".to_owned()),
            "no_proxy" => Some("b.test".to_owned()),
            _ => None,
        };
        let of_environment = Way::choose(None, &nodes, variable).unwrap().unwrap();
        assert_eq!(
            (of_environment.proxy.address(), &*of_environment.hosts),
            ("p:1", &["a.example".to_owned()][..])
        );
        let named = Way::choose(Some("http://q:2"), &nodes, variable).unwrap().unwrap();
        assert_eq!(
            (named.proxy.address(), named.hosts),
            ("q:2", vec!["a.example".into(), "::1".into(), "b.test".into()])
        );
        assert!(Way::choose(Some(""), &nodes, variable).unwrap().is_none());
        assert!(Way::choose(None, &nodes, |_| None).unwrap().is_none());
        assert_eq!(Way::choose(Some("q"), &nodes, |_| None).unwrap_err().exit, crate::failure::Exit::Usage);
    }
}
