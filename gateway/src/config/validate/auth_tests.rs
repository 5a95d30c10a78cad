use std::time::Duration;

use crate::config::validate::tests::check;
use crate::config::{Algorithm, Auth, AuthMethod, Config, Namespace, Secret, parse};

fn with(config: &mut Config, change: impl FnOnce(&mut Auth)) {
    let mut namespace = Namespace::quiet("/");
    change(&mut namespace.auth);
    config.namespaces = vec![namespace];
}

/// HS256 with a secret.
fn jwt(config: &mut Config, change: impl FnOnce(&mut Auth)) {
    with(config, |auth| {
        auth.method = AuthMethod::Jwt;
        auth.algorithms = vec![Algorithm::HS256];
        auth.secret = Secret("s".repeat(32));
        change(auth);
    });
}

/// RS256 with a file that is there.
fn public(config: &mut Config, change: impl FnOnce(&mut Auth)) {
    jwt(config, |auth| {
        auth.algorithms = vec![Algorithm::RS256];
        auth.secret = Secret::default();
        auth.public_key_file = std::env::current_exe().ok();
        change(auth);
    });
}

#[test]
fn keys_and_algorithms() {
    check(&[
        (|c| jwt(c, |_| ()), ""),
        (|c| jwt(c, |a| a.algorithms.push(Algorithm::HS512)), ""),
        (|c| public(c, |_| ()), ""),
        (|c| public(c, |a| a.algorithms.push(Algorithm::PS512)), ""),
        (|c| jwt(c, |a| a.algorithms.clear()), "namespaces.0.auth.algorithms: \"jwt\" needs at least one algorithm"),
        (
            |c| jwt(c, |a| a.algorithms.push(Algorithm::HS256)),
            "namespaces.0.auth.algorithms: an algorithm is named twice",
        ),
        (
            |c| jwt(c, |a| a.algorithms.push(Algorithm::RS256)),
            "namespaces.0.auth.algorithms: `HS256` takes a secret, `RS256` a public key: they exclude each other",
        ),
        (
            |c| public(c, |a| a.algorithms.push(Algorithm::ES256)),
            "namespaces.0.auth.algorithms: `RS256` and `ES256` take different keys, and `public_key_file` holds one",
        ),
        (
            |c| public(c, |a| a.algorithms = vec![Algorithm::ES256, Algorithm::ES384]),
            "namespaces.0.auth.algorithms: `ES256` and `ES384` take different keys, and `public_key_file` holds one",
        ),
        (
            |c| {
                public(c, |a| {
                    a.algorithms.push(Algorithm::ES256);
                    a.jwks_file = a.public_key_file.take();
                });
            },
            "",
        ),
        (
            |c| jwt(c, |a| a.algorithms = vec![Algorithm::EdDSA]),
            "namespaces.0.auth.secret: `EdDSA` takes a public key, not a secret",
        ),
        (
            |c| public(c, |a| a.algorithms = vec![Algorithm::HS384]),
            "namespaces.0.auth.public_key_file: `HS384` takes a secret, not a public key",
        ),
        (
            |c| {
                jwt(c, |a| {
                    a.secret = Secret::default();
                    a.jwks_url = "https://id.example/jwks.json".into();
                });
            },
            "namespaces.0.auth.jwks_url: `HS256` takes a secret, not a public key",
        ),
        (
            |c| jwt(c, |a| a.secret = Secret::default()),
            "namespaces.0.auth.method: \"jwt\" needs `secret`, `secret_file`, `public_key_file`, `jwks_file` or `jwks_url`",
        ),
        (
            |c| jwt(c, |a| a.secret_file = std::env::current_exe().ok()),
            "namespaces.0.auth.secret_file: excludes `secret`: there is one source of keys",
        ),
        (
            |c| public(c, |a| a.jwks_url = "https://id.example/jwks.json".into()),
            "namespaces.0.auth.jwks_url: excludes `public_key_file`: there is one source of keys",
        ),
        (|c| jwt(c, |a| a.secret = Secret(" \t".into())), "namespaces.0.auth.secret: must not be blank"),
        (
            |c| jwt(c, |a| a.secret = Secret("-----BEGIN PUBLIC KEY-----\n…".into())),
            "namespaces.0.auth.secret: is a key in PEM, which belongs into `public_key_file`",
        ),
    ]);
}

#[test]
fn files_and_urls() {
    check(&[
        (
            |c| public(c, |a| a.public_key_file = Some("/no/such.pem".into())),
            "namespaces.0.auth.public_key_file: no such file: /no/such.pem",
        ),
        (
            |c| public(c, |a| (a.public_key_file, a.jwks_file) = (None, Some("/".into()))),
            "namespaces.0.auth.jwks_file: no such file: /",
        ),
        (
            |c| jwt(c, |a| (a.secret, a.secret_file) = (Secret::default(), Some("/no/such".into()))),
            "namespaces.0.auth.secret_file: no such file: /no/such",
        ),
        (|c| jwks(c, "https://id.example/.well-known/jwks.json"), ""),
        (|c| jwks(c, "http://127.0.0.1:9000/jwks"), ""),
        (|c| jwks(c, "ftp://id.example/jwks"), NOT_HTTP),
        (|c| jwks(c, "id.example/jwks"), NOT_HTTP),
        (|c| jwks(c, "/jwks.json"), NOT_HTTP),
        (|c| jwks(c, "https://"), NOT_HTTP),
        (|c| jwks(c, "https:// id.example"), NOT_HTTP),
        (
            |c| jwt(c, |a| a.jwks_refresh = Duration::from_secs(9)),
            "namespaces.0.auth.jwks_refresh: must be at least 10s",
        ),
    ]);
}

const NOT_HTTP: &str = "namespaces.0.auth.jwks_url: must be a URL that begins with `https://` or `http://`";

fn jwks(config: &mut Config, url: &str) {
    public(config, |auth| (auth.public_key_file, auth.jwks_url) = (None, url.to_owned()));
}

#[test]
fn what_a_method_does_not_use() {
    for (change, key) in [
        ((|a| a.algorithms = vec![Algorithm::HS256]) as fn(&mut Auth), "algorithms"),
        (|a| a.secret = Secret("s".into()), "secret"),
        (|a| a.secret_file = Some("/no/such".into()), "secret_file"),
        (|a| a.public_key_file = Some("/no/such".into()), "public_key_file"),
        (|a| a.jwks_file = Some("/no/such".into()), "jwks_file"),
        (|a| a.jwks_url = "https://id.example".into(), "jwks_url"),
        (|a| a.issuer = "i".into(), "issuer"),
        (|a| a.audience = vec!["a".into()], "audience"),
    ] {
        let mut config = Config::default();
        config.upstream.url = "http://127.0.0.1:1".into();
        config.upstream.secret = Secret("s".into());
        for method in [AuthMethod::None, AuthMethod::Upstream] {
            with(&mut config, |auth| {
                auth.method = method;
                change(auth);
            });
            let found = super::super::tests::found(&config);
            assert_eq!(found, [format!("namespaces.0.auth.{key}: has no meaning without `method = \"jwt\"`")]);
        }
    }
    check(&[(
        |c| with(c, |a| a.method = AuthMethod::Upstream),
        "namespaces.0.auth.method: \"upstream\" needs a backend: `url` in `[upstream]` or `[namespaces.upstream]`",
    )]);
}

#[test]
fn tokens_claims_and_events() {
    check(&[
        (|c| jwt(c, |a| a.user.clear()), "namespaces.0.auth.user: must not be empty"),
        (|c| jwt(c, |a| a.audience = vec!["a".into(), "".into()]), "namespaces.0.auth.audience.1: must not be empty"),
        (|c| jwt(c, |a| a.token.clear()), "namespaces.0.auth.token: at least one place is required"),
        (|c| jwt(c, |a| a.token.extend_from_within(..1)), "namespaces.0.auth.token: a place is named twice"),
        (|c| jwt(c, |a| a.max_token = 0), "namespaces.0.auth.max_token: must be more than 0"),
        (
            |c| jwt(c, |a| a.failure_event = "connect_error".into()),
            "namespaces.0.auth.failure_event: `connect_error` is reserved by the client library",
        ),
        (
            |c| jwt(c, |a| (a.warn_before, a.warn_event) = (Duration::from_secs(1), String::new())),
            "namespaces.0.auth.warn_event: must not be empty when `warn_before` is more than 0s",
        ),
        (
            |c| {
                jwt(c, |a| {
                    for event in [&mut a.warn_event, &mut a.expired_event, &mut a.refresh_event, &mut a.revoked_event] {
                        event.clear();
                    }
                });
            },
            "",
        ),
    ]);
}

#[test]
fn a_file_names_what_it_cannot_be() {
    for (lines, problem) in [
        (
            "token = [\"auth.token\", \"body.token\"]",
            "f: namespaces[0].auth.token[1]: expected \"auth.<path>\", \"query.<name>\", \"header\" or \
             \"cookie.<name>\", found string \"body.token\"",
        ),
        (
            "algorithms = [\"HS265\"]",
            "f: namespaces[0].auth.algorithms[0]: unknown value \"HS265\", did you mean \"HS256\"?",
        ),
        ("method = \"jtw\"", "f: namespaces[0].auth.method: unknown value \"jtw\", did you mean \"jwt\"?"),
        ("leway = \"1s\"", "f: namespaces[0].auth.leway: unknown key, did you mean `leeway`?"),
    ] {
        let file = format!("[[namespaces]]\nname = \"/\"\n[namespaces.auth]\n{lines}\n");
        let error = parse("f", &file, &std::collections::BTreeMap::new()).unwrap_err();
        assert_eq!(error.to_string(), problem);
    }
}
