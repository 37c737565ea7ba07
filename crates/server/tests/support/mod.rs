//! Starts the real program and talks to it over plain sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

/// Longest wait for anything in these tests.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The program with nothing of this process's environment that concerns it.
pub fn costrel() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_costrel"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("COSTREL_") {
            command.env_remove(name);
        }
    }
    command
}

/// `costrel serve` on free ports.
pub fn serve(data_dir: &Path) -> Command {
    let mut command = costrel();
    command.arg("serve").arg("--data-dir").arg(data_dir);
    command.args(["--listen", "127.0.0.1:0", "--console-listen", "127.0.0.1:0"]);
    command
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it printed up to its APPID, which ends every start's facts.
    pub printed: String,
}

impl Server {
    pub fn start(mut command: Command) -> Server {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut printed = String::new();
        while !printed.contains("APPID") {
            if stdout.read_line(&mut printed).unwrap() == 0 {
                let mut errors = String::new();
                child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
                panic!("the server ended: {errors}");
            }
        }
        // An unread log would fill its pipe.
        let mut log = child.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Server { child, stdout, printed }
    }

    /// Address behind `Endpoint` or `Console`, without its scheme.
    pub fn address(&self, name: &str) -> String {
        let line = self.printed.lines().find(|line| line.trim_start().starts_with(name));
        let url = line.unwrap().split_whitespace().nth(1).unwrap();
        url.split_once("//").unwrap().1.to_owned()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits for the end; everything printed, and the exit code.
    pub fn wait(mut self) -> (String, Option<i32>) {
        let mut printed = std::mem::take(&mut self.printed);
        self.stdout.read_to_string(&mut printed).unwrap();
        (printed, self.child.wait().unwrap().code())
    }

    /// Stops it as an operator does.
    pub fn stop(self) -> (String, Option<i32>) {
        self.signal("-TERM");
        self.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Everything that comes back for one request on a connection of its own.
pub fn exchange(address: &str, request: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Status and body of a GET.
pub fn get(address: &str, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let answer = exchange(address, &request);
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// The last line that a failed program wrote to its standard error.
pub fn last_error(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    errors.lines().last().unwrap_or_default().to_owned()
}
