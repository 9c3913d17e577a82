//! Which proxy the environment names: `https_proxy` and `no_proxy`, in either case of letters.

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
    use super::of_environment;

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
}
