//! Shows what the program promises to operators, on the real binary: identity,
//! configuration, the lock, the console, limits, the certificate and the way it
//! stops.

mod support;

use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use support::{PATIENCE, Server, connect, costrel, exchange, get, last_error, serve};

#[test]
fn the_first_start_shows_a_key_and_the_second_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (first, code) = Server::start(serve(&data)).stop();
    assert_eq!(code, Some(0));
    let secret = first.lines().find_map(|line| line.trim().strip_prefix("SecretKey  ")).unwrap();
    assert_eq!(secret.len(), 32);
    for tool in ["aws s3 mb", "boto3.client", "CosS3Client(", "coscmd config"] {
        assert!(first.contains(tool), "{tool} is not in {first}");
    }
    let facts = |text: &str| {
        let lines = text.lines().filter(|line| line.contains("uin") || line.contains("APPID"));
        lines.take(2).map(str::to_owned).collect::<Vec<_>>()
    };

    let (second, code) = Server::start(serve(&data)).stop();
    assert_eq!(code, Some(0));
    assert!(!second.contains("Secret") && !second.contains(secret), "{second}");
    assert_eq!(facts(&second), facts(&first));

    let check = costrel().arg("fsck").arg("--data-dir").arg(&data).output().unwrap();
    assert!(check.status.success(), "{}", last_error(&check));
    assert!(String::from_utf8_lossy(&check.stdout).contains("0 findings"));
}

#[test]
fn a_fixed_identity_is_never_printed() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = serve(dir.path());
    command.env("COSTREL_ROOT_SECRET_ID", "AKIDfixed");
    command.env("COSTREL_ROOT_SECRET_KEY", "not-to-be-seen");
    command.env("COSTREL_APPID", "1250000000").env("COSTREL_OWNER_UIN", "100000000001");
    command.env("COSTREL_REGION", "ap-beijing");
    let (printed, _) = Server::start(command).stop();
    assert!(!printed.contains("AKIDfixed") && !printed.contains("not-to-be-seen"), "{printed}");
    for fact in ["1250000000", "100000000001", "ap-beijing"] {
        assert!(printed.contains(fact), "{fact} is not in {printed}");
    }
}

#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Server::start(serve(dir.path()));
    for mut command in [serve(dir.path()), fsck(dir.path())] {
        let second = command.output().unwrap();
        assert_eq!(second.status.code(), Some(1));
        let error = last_error(&second);
        assert!(error.contains("in use by another costrel process"), "{error}");
    }
}

fn fsck(data_dir: &Path) -> Command {
    let mut command = costrel();
    command.arg("fsck").arg("--data-dir").arg(data_dir);
    command
}

#[test]
fn a_misspelt_setting_is_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("costrel.toml");
    std::fs::write(&file, "free_space_reserv = '1GiB'\n").unwrap();
    let data = dir.path().join("data");
    let refused = serve(&data).arg("--config").arg(&file).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let error = last_error(&refused);
    let expected = "unknown key 'free_space_reserv'; did you mean 'free_space_reserve'?";
    assert!(error.contains(expected), "{error}");
    assert!(!data.exists());
}

#[test]
fn a_check_does_not_make_what_it_checks() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    assert_eq!(fsck(&missing).output().unwrap().status.code(), Some(1));
    assert!(!missing.exists());
}

#[test]
fn the_console_tells_and_every_metric_is_documented() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(serve(dir.path()));
    let console = server.address("Console");
    assert_eq!(get(&console, "/healthz").0, 200);
    assert_eq!(get(&console, "/readyz"), (200, "ready\n".into()));
    assert_eq!(get(&server.address("Endpoint"), "/").0, 403);

    let (status, page) = get(&console, "/metrics");
    assert_eq!(status, 200);
    assert!(page.contains("costrel_requests_total{operation="), "{page}");
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    for name in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = name.split(' ').next().unwrap();
        assert!(manual.contains(&format!("`{name}`")), "docs/metrics.md does not explain {name}");
    }
}

/// Also what never becomes a request is refused in the dialect's shape.
#[test]
fn heads_that_cannot_be_read_are_refused_in_shape() {
    let dir = tempfile::tempdir().unwrap();
    for (dialect, prefix, codes) in [
        ("cos", "x-cos", ["InvalidRequest", "InvalidRequest", "InvalidURI"]),
        ("s3", "x-amz", ["RequestHeaderSectionTooLarge", "BadRequest", "InvalidURI"]),
    ] {
        let mut command = serve(dir.path());
        command.args(["--default-dialect", dialect, "--header-size", "128KiB"]);
        let server = Server::start(command);
        let address = server.address("Endpoint");
        let head = |fields: &str| format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        let long = |length: usize| format!("A: {}\r\nConnection: close\r\n", "a".repeat(length));
        for (request, status, code) in [
            (head(&long(130 << 10)), 431, codes[0]),
            (head(&long(1 << 20)), 431, codes[0]),
            (head(&"A: b\r\n".repeat(300)), 431, codes[0]),
            ("NOT HTTP\r\n\r\n".to_owned(), 400, codes[1]),
            ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400, codes[1]),
            (head("Bad Header: x\r\n"), 400, codes[1]),
            (head("Content-Length: 5\r\nContent-Length: 6\r\n"), 400, codes[1]),
            (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(70_000)), 414, codes[2]),
        ] {
            let mut stream = connect(&address);
            // Fails when the server has refused and stopped reading.
            let _ = stream.write_all(request.as_bytes());
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            let what = format!("{request:.40}: {answer}");
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}");
            assert!(answer.contains(&format!("<Code>{code}</Code>")), "{what}");
            let id = answer.split_once(&format!("\r\n{prefix}-request-id: ")).expect(&what).1;
            let id = id.split_once("\r\n").unwrap().0;
            assert!(answer.contains(&format!("<RequestId>{id}</RequestId>")), "{what}");
            assert!(answer.contains("\r\nContent-Type: application/xml\r\n"), "{what}");
        }
        // On a connection that has served, what came before is answered too.
        let second = exchange(&address, "GET / HTTP/1.1\r\nHost: x\r\n\r\nNOT HTTP\r\n\r\n");
        assert!(second.starts_with("HTTP/1.1 403 "), "{second}");
        assert_eq!(second.matches("<RequestId>").count(), 2, "{second}");
        assert_eq!(get(&address, "/").0, 403, "others are served");
    }
}

#[test]
fn a_client_that_has_said_everything_may_close_its_side() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(serve(dir.path()));
    for _ in 0..50 {
        let mut stream = connect(&server.address("Endpoint"));
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.ends_with("</Error>"), "{answer}");
    }
}

#[test]
fn a_client_that_sends_no_headers_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = serve(dir.path());
    command.args(["--header-timeout", "300ms"]);
    let server = Server::start(command);
    let mut stream = connect(&server.address("Endpoint"));
    let started = Instant::now();
    stream.write_all(b"GET / HT").unwrap();
    // Closed with an answer or without one.
    let _ = stream.read_to_end(&mut Vec::new());
    assert!(started.elapsed() < PATIENCE / 2);
}

#[test]
fn a_running_request_finishes_before_the_server_stops() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(serve(dir.path()));
    let (address, console) = (server.address("Endpoint"), server.address("Console"));
    let idle = connect(&address);
    let mut upload = connect(&address);
    upload
        .write_all(b"PUT /bucket/key HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
        .unwrap();
    wait_until(|| get(&console, "/metrics").1.contains("costrel_requests_in_flight 1"));
    server.signal("-TERM");
    wait_until(|| get(&console, "/readyz") == (503, "stopping\n".into()));
    upload.write_all(b"cd").unwrap();
    let mut answer = String::new();
    upload.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    drop(upload);
    let (_, code) = server.wait();
    assert_eq!(code, Some(0));
    drop(idle);
}

#[test]
fn a_request_that_never_finishes_is_given_up_at_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = serve(dir.path());
    command.args(["--drain-timeout", "500ms"]);
    let server = Server::start(command);
    let mut upload = connect(&server.address("Endpoint"));
    upload
        .write_all(b"PUT /bucket/key HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
        .unwrap();
    let console = server.address("Console");
    wait_until(|| get(&console, "/metrics").1.contains("costrel_requests_in_flight 1"));
    let started = Instant::now();
    assert_eq!(server.stop().1, Some(0));
    assert!(started.elapsed() < PATIENCE / 2);
}

fn wait_until(mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "it did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_new_certificate_is_served_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let first = write_certificate(&cert, &key);
    let mut command = serve(&dir.path().join("data"));
    command.arg("--tls-cert").arg(&cert).arg("--tls-key").arg(&key);
    let server = Server::start(command);
    let address = server.address("Endpoint");
    let answer = tls_get(&address, &first).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");

    let second = write_certificate(&cert, &key);
    server.signal("-HUP");
    wait_until(|| tls_get(&address, &second).is_ok());
    assert!(tls_get(&address, &first).is_err());
}

/// A fresh self-signed certificate for `localhost`.
fn write_certificate(cert: &Path, key: &Path) -> rustls::pki_types::CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(cert, made.cert.pem()).unwrap();
    std::fs::write(key, made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

/// A GET that trusts one certificate only.
fn tls_get(
    address: &str,
    trusted: &rustls::pki_types::CertificateDer<'static>,
) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = connect(address);
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
