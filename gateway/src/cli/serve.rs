//! `carillon serve`.

use anyhow::Result;

use super::ConfigFile;
use crate::{
    config::{self, ProcessEnvironment},
    ops::logs,
};

pub(super) fn run(file: ConfigFile) -> Result<()> {
    let config = config::load(file.config.as_deref(), &ProcessEnvironment)?;
    logs::start(&config.log)?;
    crate::app::serve(config)
}
