//! A real redis-server on a free port, without persistence, ended when dropped.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use redis::{Connection, Value};

pub(crate) struct RealRedis {
    process: Child,
    directory: PathBuf,
    connection: Connection,
}

impl RealRedis {
    /// # Panics
    /// If there is no `redis-server`: then nothing is compared, and that must be seen.
    pub(crate) fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = std::env::temp_dir().join(format!("fake-redis-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(&directory).stdout(Stdio::piped());
        let mut process = command.spawn().expect("redis-server must be installed to compare with it");
        let output = BufReader::new(process.stdout.take().unwrap());
        let ready = output.lines().map_while(Result::ok).any(|line| line.contains("Ready to accept connections"));
        assert!(ready, "redis-server did not start");
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
        let connection = client.get_connection().unwrap();
        Self { process, directory, connection }
    }

    pub(crate) fn execute(&mut self, args: &[Vec<u8>]) -> Result<Value, redis::RedisError> {
        let mut command = redis::Cmd::new();
        for arg in args {
            command.arg(arg);
        }
        self.connection.send_packed_command(&command.get_packed_command())?;
        self.connection.recv_response()
    }
}

impl Drop for RealRedis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
