//! The real program as a process of its own.

use std::{
    fs::File,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{eventually, setup::UPSTREAM_KEY};

/// A running `tollgate serve`; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    folder: TempDir,
    pub(crate) client: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// The program with an environment of its own.
pub(crate) fn command() -> Command {
    command_under(&[])
}

/// The same by another program, if one is given.
fn command_under(by: &[&str]) -> Command {
    let all = [by, &[env!("CARGO_BIN_EXE_tollgate")]].concat();
    let mut command = Command::new(all[0]);
    command
        .args(&all[1..])
        .env_clear()
        .env("UPSTREAM_KEY", UPSTREAM_KEY)
        .stdin(Stdio::null());
    command
}

/// Runs a command on a configuration to its end.
pub(crate) fn run(yaml: &str, arguments: &[&str]) -> Output {
    let (_folder, file) = written(yaml);
    let mut command = command();
    command.args(arguments).arg("--config").arg(file);
    command.output().unwrap()
}

fn written(yaml: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tollgate.yaml");
    std::fs::write(&file, yaml).unwrap();
    (folder, file)
}

impl Program {
    /// Starts on ports that the system picks and waits until it listens.
    pub(crate) async fn start(yaml: &str) -> Self {
        Self::start_in(written(yaml).0, &[]).await
    }

    /// The same by another program, which is given it and its arguments.
    pub(crate) async fn start_under(yaml: &str, by: &[&str]) -> Self {
        Self::start_in(written(yaml).0, by).await
    }

    /// Starts once more in the folder of one that has ended.
    pub(crate) async fn start_again(mut self) -> Self {
        self.child.wait().unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        Self::start_in(folder, &[]).await
    }

    async fn start_in(folder: TempDir, by: &[&str]) -> Self {
        let file = folder.path().join("tollgate.yaml");
        let log = File::create(folder.path().join("log")).unwrap();
        let mut command = command_under(by);
        command
            // where the ledger stands, unless it is written otherwise
            .current_dir(folder.path())
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--admin-listen", "127.0.0.1:0", "--log-format", "json"])
            .arg("--config")
            .arg(file)
            .stdout(Stdio::null())
            .stderr(log);
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut program = Self {
            child: command.spawn().unwrap(),
            folder,
            client: nowhere,
            admin: nowhere,
        };
        let mut listening = None;
        eventually("the program listens", async || {
            let log = program.log();
            listening = log.into_iter().find(|line| line["message"] == "listening");
            listening.is_some()
        })
        .await;
        let listening = listening.unwrap();
        let address = |name: &str| listening[name].as_str().unwrap().parse().unwrap();
        program.client = address("clients");
        program.admin = address("admin");
        program
    }

    /// A file of the folder that it runs in.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Everything on standard error.
    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The log lines; every whole line must be JSON but the one that shows the admin key.
    pub(crate) fn log(&self) -> Vec<Value> {
        let text = self.text();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole
            .lines()
            .filter(|line| !line.starts_with("admin key, made at this start: "));
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        lines.map(parse).collect()
    }

    /// Changes the configuration file.
    pub(crate) fn rewrite(&self, yaml: &str) {
        std::fs::write(self.folder.path().join("tollgate.yaml"), yaml).unwrap();
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name: `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the program ends", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // it may have ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
