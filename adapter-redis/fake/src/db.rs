//! The data: keys with their values and expiry, under a clock that somebody else sets.
//!
//! An expired key is gone for every command from that millisecond on; it is deleted when a command next meets it, or by
//! [`Db::expire_due`]. Until then a clock that is set back brings it to life again, as in Redis.

use std::collections::{BTreeMap, VecDeque};

use foldhash::fast::FixedState;
use indexmap::{IndexMap, IndexSet};

use crate::{
    reply::{Bytes, Failure},
    sorted::Sorted,
};

pub(crate) type List = VecDeque<Bytes>;
pub(crate) type Hash = IndexMap<Bytes, Bytes, FixedState>;
pub(crate) type Set = IndexSet<Bytes, FixedState>;

#[derive(Clone, Debug)]
pub(crate) enum Data {
    Text(Bytes),
    List(List),
    Hash(Hash),
    Set(Set),
    Sorted(Sorted),
}

/// A value that is made by its first element and gone with its last.
pub(crate) trait Collection: Default {
    fn of(data: &Data) -> Option<&Self>;
    fn of_mut(data: &mut Data) -> Option<&mut Self>;
    fn into_data(self) -> Data;
    fn has_none(&self) -> bool;
}

macro_rules! collection {
    ($kind:ident) => {
        impl Collection for $kind {
            fn of(data: &Data) -> Option<&Self> {
                if let Data::$kind(value) = data { Some(value) } else { None }
            }

            fn of_mut(data: &mut Data) -> Option<&mut Self> {
                if let Data::$kind(value) = data { Some(value) } else { None }
            }

            fn into_data(self) -> Data {
                Data::$kind(self)
            }

            fn has_none(&self) -> bool {
                self.len() == 0
            }
        }
    };
}
collection!(List);
collection!(Hash);
collection!(Set);
collection!(Sorted);

#[derive(Clone, Debug)]
struct Entry {
    data: Data,
    expires_ms: Option<i64>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Db {
    /// Milliseconds since 1970.
    pub(crate) now_ms: i64,
    keys: BTreeMap<Bytes, Entry>,
    /// Rises with each change.
    changes: u64,
    /// Deleted because their time was over, and not yet told to the replica.
    expired: Vec<Bytes>,
}

impl Db {
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    pub(crate) fn take_expired(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.expired)
    }

    fn is_over(&self, expires_ms: Option<i64>) -> bool {
        expires_ms.is_some_and(|expires| expires <= self.now_ms)
    }

    fn live(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let expires = self.keys.get(key)?.expires_ms;
        if self.is_over(expires) {
            if let Some((key, _)) = self.keys.remove_entry(key) {
                self.expired.push(key);
            }
            return None;
        }
        self.keys.get_mut(key)
    }

    pub(crate) fn exists(&mut self, key: &[u8]) -> bool {
        self.live(key).is_some()
    }

    pub(crate) fn text(&mut self, key: &[u8]) -> Result<Option<Bytes>, Failure> {
        match self.live(key).map(|entry| &entry.data) {
            None => Ok(None),
            Some(Data::Text(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Failure::wrong_type()),
        }
    }

    /// Sets a text and its expiry, whatever was there.
    pub(crate) fn put_text(&mut self, key: &Bytes, text: Bytes, expires_ms: Option<i64>) {
        self.changes += 1;
        self.keys.insert(key.clone(), Entry { data: Data::Text(text), expires_ms });
    }

    pub(crate) fn get<C: Collection>(&mut self, key: &[u8]) -> Result<Option<&C>, Failure> {
        match self.live(key) {
            None => Ok(None),
            Some(entry) => C::of(&entry.data).map(Some).ok_or_else(Failure::wrong_type),
        }
    }

    /// Changes a value that is there. What is empty then is gone.
    pub(crate) fn edit<C: Collection, R>(
        &mut self,
        key: &[u8],
        change: impl FnOnce(&mut C) -> R,
    ) -> Result<Option<R>, Failure> {
        let Some(entry) = self.live(key) else { return Ok(None) };
        let value = C::of_mut(&mut entry.data).ok_or_else(Failure::wrong_type)?;
        let result = change(value);
        let none = value.has_none();
        self.changes += 1;
        if none {
            self.keys.remove(key);
        }
        Ok(Some(result))
    }

    /// Changes a value, which is made if there is none.
    pub(crate) fn edit_or_new<C: Collection, R>(
        &mut self,
        key: &Bytes,
        change: impl FnOnce(&mut C) -> R,
    ) -> Result<R, Failure> {
        self.changes += 1;
        if let Some(entry) = self.live(key) {
            return C::of_mut(&mut entry.data).map(change).ok_or_else(Failure::wrong_type);
        }
        let mut value = C::default();
        let result = change(&mut value);
        if !value.has_none() {
            self.keys.insert(key.clone(), Entry { data: value.into_data(), expires_ms: None });
        }
        Ok(result)
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let removed = self.live(key).is_some() && self.keys.remove(key).is_some();
        self.changes += u64::from(removed);
        removed
    }

    /// When the key ends; None outside if there is no such key, inside if it does not end.
    pub(crate) fn expires_ms(&mut self, key: &[u8]) -> Option<Option<i64>> {
        self.live(key).map(|entry| entry.expires_ms)
    }

    pub(crate) fn set_expires_ms(&mut self, key: &[u8], expires_ms: Option<i64>) {
        if let Some(entry) = self.live(key) {
            entry.expires_ms = expires_ms;
            self.changes += 1;
        }
    }

    /// How many keys there are, with those that are over but not yet deleted.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn clear(&mut self) {
        self.changes += 1;
        self.keys.clear();
    }

    /// Keys that follow this one in order, without those that are over, with the kind of their value.
    pub(crate) fn keys_after(&self, key: Option<&Bytes>) -> impl Iterator<Item = (&Bytes, &'static str)> {
        let from = key.map_or(std::ops::Bound::Unbounded, |key| std::ops::Bound::Excluded(key.clone()));
        let entries = self.keys.range((from, std::ops::Bound::Unbounded));
        entries.filter(|(_, entry)| !self.is_over(entry.expires_ms)).map(|(key, entry)| (key, entry.data.kind()))
    }

    /// Deletes all keys whose time is over, as Redis does in the background.
    pub(crate) fn expire_due(&mut self) -> usize {
        let over = |entry: &Entry| self.is_over(entry.expires_ms);
        let due: Vec<_> = self.keys.iter().filter(|(_, entry)| over(entry)).map(|(key, _)| key.clone()).collect();
        for key in &due {
            self.keys.remove(key);
        }
        self.expired.extend_from_slice(&due);
        due.len()
    }

    pub(crate) fn kind(&mut self, key: &[u8]) -> &'static str {
        self.live(key).map_or("none", |entry| entry.data.kind())
    }
}

impl Data {
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::List(_) => "list",
            Self::Hash(_) => "hash",
            Self::Set(_) => "set",
            Self::Sorted(_) => "zset",
        }
    }
}
