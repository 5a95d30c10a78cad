//! Certificates: they are read, so that a mistake is found before anybody connects.

use std::path::PathBuf;

use rustls_pki_types::ServerName;

use super::Check;
use crate::config::tls::{InternalTls, PublicTls};
use crate::tls::Settings;

impl Check {
    pub(super) fn tls(&mut self, public: &PublicTls, internal: &InternalTls) {
        let files = [("cert_file", &public.cert_file), ("key_file", &public.key_file)];
        self.certificates("public.tls", &files, public.settings(), public.reload.is_zero());
        let files = [
            ("cert_file", &internal.cert_file),
            ("key_file", &internal.key_file),
            ("client_ca_file", &internal.client_ca_file),
            ("ca_file", &internal.ca_file),
        ];
        self.certificates("internal.tls", &files, internal.settings(), internal.reload.is_zero());
        if !internal.server_name.is_empty() {
            let at = "internal.tls.server_name";
            self.that(internal.cert_file.is_some(), at, "is of no use without `cert_file`");
            let name = ServerName::try_from(internal.server_name.as_str()).is_ok();
            self.that(name, at, "must be a host name such as `carillon.internal`, or an IP address");
        }
    }

    fn certificates(
        &mut self,
        table: &str,
        files: &[(&str, &Option<PathBuf>)],
        settings: Option<Settings>,
        never_reloads: bool,
    ) {
        self.that(!never_reloads, &format!("{table}.reload"), "must be more than 0s");
        let given = |name: &str| files.iter().any(|(key, file)| *key == name && file.is_some());
        let pair = given("cert_file") == given("key_file");
        self.that(pair, &format!("{table}.key_file"), "`cert_file` and `key_file` go together");
        for (key, _) in files.iter().skip(2).filter(|(key, _)| given(key) && !given("cert_file")) {
            self.that(false, &format!("{table}.{key}"), "is of no use without `cert_file`");
        }
        let before = self.found.len();
        for (key, file) in files {
            self.file(file.as_deref(), &format!("{table}.{key}"));
        }
        if self.found.len() > before {
            return;
        }
        if let Some(Err(error)) = settings.map(|settings| settings.check()) {
            self.that(false, &format!("{table}.{}", error.key), error.message());
        }
    }
}
