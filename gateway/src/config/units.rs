//! How durations, sizes, addresses and networks are written in the file: serde functions for `#[serde(with = ...)]`.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serializer,
    de::{Error, Unexpected, Visitor},
};

/// Accepts a string that `T` parses; anything else is an error that says what was expected.
struct Text<T> {
    expected: &'static str,
    parsed: PhantomData<T>,
}

impl<T: FromStr> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.trim().parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// Deserializes a `T` from a string; `expected` is the end of "expected …" in the error.
pub(super) fn text<'de, T: FromStr, D: Deserializer<'de>>(
    deserializer: D,
    expected: &'static str,
) -> Result<T, D::Error> {
    deserializer.deserialize_str(Text { expected, parsed: PhantomData })
}

/// A `std::time::Duration` written as `"300ms"`, `"25s"` or `"2m"`.
pub(super) mod duration {
    use super::*;
    use std::time::Duration;

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        text::<humantime::Duration, D>(d, "a duration such as \"300ms\", \"25s\" or \"2m\"").map(Into::into)
    }

    pub(in crate::config) fn serialize<S: Serializer>(value: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&humantime::format_duration(*value))
    }
}

/// A number of bytes, written as an integer or as `"1MiB"`.
pub(super) mod size {
    use super::*;

    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;

    struct Size;

    impl Visitor<'_> for Size {
        type Value = usize;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a size: bytes as an integer, or a string such as \"1MiB\"")
        }

        fn visit_u64<E: Error>(self, bytes: u64) -> Result<usize, E> {
            usize::try_from(bytes).map_err(|_| E::invalid_value(Unexpected::Unsigned(bytes), &self))
        }

        fn visit_i64<E: Error>(self, bytes: i64) -> Result<usize, E> {
            usize::try_from(bytes).map_err(|_| E::invalid_value(Unexpected::Signed(bytes), &self))
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<usize, E> {
            let size = text.trim().parse::<bytesize::ByteSize>().ok();
            size.and_then(|size| usize::try_from(size.as_u64()).ok())
                .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
        }
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<usize, D::Error> {
        d.deserialize_any(Size)
    }

    pub(in crate::config) fn serialize<S: Serializer>(value: &usize, s: S) -> Result<S::Ok, S::Error> {
        match *value {
            v if v >= MIB && v % MIB == 0 => s.collect_str(&format_args!("{}MiB", v / MIB)),
            v if v >= KIB && v % KIB == 0 => s.collect_str(&format_args!("{}KiB", v / KIB)),
            v => s.serialize_u64(v as u64),
        }
    }
}

/// A `SocketAddr` written as `"127.0.0.1:9100"`.
pub(super) mod address {
    use super::*;
    use std::net::SocketAddr;

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<SocketAddr, D::Error> {
        text(d, "an address and port such as \"127.0.0.1:8080\" or \"[::1]:8080\"")
    }

    pub(in crate::config) fn serialize<S: Serializer>(value: &SocketAddr, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(value)
    }
}

/// A list of networks written as `["10.0.0.0/8"]`.
pub(super) mod networks {
    use super::*;
    use ipnet::IpNet;

    struct Network(IpNet);

    impl<'de> Deserialize<'de> for Network {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            text(d, "a network in CIDR notation such as \"10.0.0.0/8\"").map(Self)
        }
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<IpNet>, D::Error> {
        let networks = Vec::<Network>::deserialize(d)?;
        Ok(networks.into_iter().map(|Network(net)| net).collect())
    }

    pub(in crate::config) fn serialize<S: Serializer>(value: &[IpNet], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(value.iter().map(ToString::to_string))
    }
}

/// An optional path, where `""` stands for none.
pub(super) mod optional_path {
    use super::*;
    use std::path::{Path, PathBuf};

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<PathBuf>, D::Error> {
        let path = text::<PathBuf, D>(d, "a path, or \"\" for none")?;
        Ok((!path.as_os_str().is_empty()).then_some(path))
    }

    pub(in crate::config) fn serialize<S: Serializer>(value: &Option<PathBuf>, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&value.as_deref().unwrap_or(Path::new("")).display())
    }
}
