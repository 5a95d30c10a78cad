//! The registry that every room's `metrics.rs` registers with, and what
//! belongs to no room.

use prometheus::{IntGauge, Opts, Registry, TextEncoder};

/// A registry with `carillon_build_info` (with a revision where
/// `CARILLON_REVISION` was set for the build) and, on Linux, the process's own
/// `process_*` series (CPU seconds, resident memory, open files, threads).
pub fn registry() -> prometheus::Result<Registry> {
    let registry = Registry::new();
    let mut what = Opts::new("carillon_build_info", "Always 1; the labels say what is running")
        .const_label("version", env!("CARGO_PKG_VERSION"));
    if let Some(revision) = option_env!("CARILLON_REVISION") {
        what = what.const_label("revision", revision);
    }
    let build = IntGauge::with_opts(what)?;
    build.set(1);
    registry.register(Box::new(build))?;
    #[cfg(target_os = "linux")]
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    Ok(registry)
}

/// All series in the Prometheus text format.
pub(super) fn text(registry: &Registry) -> prometheus::Result<String> {
    TextEncoder::new().encode_to_string(&registry.gather())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_and_its_version_are_told() {
        let text = text(&registry().unwrap()).unwrap();
        let version = concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"");
        let build = text.lines().find(|line| line.starts_with("carillon_build_info{")).expect(&text);
        assert!(build.contains(version) && build.ends_with("} 1"), "{build}");
        #[cfg(target_os = "linux")]
        for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
            assert!(text.contains(name), "{name} is missing in\n{text}");
        }
    }
}
