//! A command connection in place of a real one of the crate `redis`.

use redis::{Arg, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value, aio::ConnectionLike};

use crate::connection::{Connection, PendingReply};

impl Connection {
    fn send_command(&self, command: &Cmd) -> PendingReply {
        self.send(command.args_iter().map(|arg| match arg {
            Arg::Simple(arg) => arg,
            // the cursor of a new scan
            _ => b"0",
        }))
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.send_command(command))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        if pipeline.is_transaction() {
            let refused = RedisError::from((ErrorKind::Client, "the fake has no transactions"));
            return Box::pin(async { Err(refused) });
        }
        let replies: Vec<_> = pipeline.cmd_iter().map(|command| self.send_command(command)).collect();
        Box::pin(async move {
            let mut values = Vec::with_capacity(replies.len());
            for reply in replies {
                values.push(reply_value(reply.await)?);
            }
            Ok(values.into_iter().skip(offset).take(count).collect())
        })
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// Within a pipeline an error of the server is a value, and one of the connection ends it.
fn reply_value(reply: RedisResult<Value>) -> RedisResult<Value> {
    reply.or_else(|error| {
        let Some(code) = error.code() else { return Err(error) };
        let line = format!("-{code} {}\r\n", error.detail().unwrap_or(""));
        redis::parse_redis_value(line.as_bytes())
    })
}
