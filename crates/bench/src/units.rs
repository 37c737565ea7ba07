//! Sizes and durations as they are written on the command line and in reports.

use std::time::Duration;

/// Reads `4096`, `4KiB`, `64k`, `1M`, `16MiB`, `5GiB`. Units are binary.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| format!("{text:?} is not a size"))?;
    let shift = match text[digits..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        unit => return Err(format!("unknown unit {unit:?}; use KiB, MiB or GiB")),
    };
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text:?} is too large"))
}

/// Reads `10s`, `500ms`, `2m`; a bare number is seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| format!("{text:?} is not a duration"))?;
    let seconds = match &text[digits..] {
        "ms" => number / 1e3,
        "" | "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        unit => return Err(format!("unknown unit {unit:?}; use ms, s, m or h")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("{text:?} is not a duration"))
}

/// The same, and more than none.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err(format!("{text:?} is no time to measure anything in")),
        span => Ok(span),
    }
}

/// Reads a number of connections.
pub fn parse_connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("there is no work without a connection".into()),
        Ok(number) => Ok(number),
        Err(_) => Err(format!("{text:?} is not a number of connections")),
    }
}

/// Writes a size with the largest unit that divides it.
pub fn size_text(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{} {unit}", bytes >> shift);
        }
    }
    format!("{bytes} B")
}

/// Writes microseconds with three figures or so: `45.2 µs`, `4.18 ms`, `1.30 s`.
pub fn micros_text(us: f64) -> String {
    let (value, unit) = match us {
        us if us >= 1e6 => (us / 1e6, "s"),
        us if us >= 1e4 => (us / 1e3, "ms"),
        us => (us, "µs"),
    };
    match value {
        v if v >= 100.0 => format!("{v:.0} {unit}"),
        v if v >= 10.0 => format!("{v:.1} {unit}"),
        v => format!("{v:.2} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_measured_with_nothing() {
        assert_eq!(parse_span("1500ms"), Ok(Duration::from_millis(1500)));
        assert!(parse_span("0s").is_err() && parse_span("").is_err());
        assert_eq!(parse_connections("16"), Ok(16));
        assert!(parse_connections("0").is_err() && parse_connections("-1").is_err());
    }

    #[test]
    fn sizes() {
        for (text, want) in
            [("0", 0), ("4096", 4096), ("4KiB", 4096), ("64k", 65_536), ("5GiB", 5 << 30)]
        {
            assert_eq!(parse_size(text), Ok(want), "{text}");
        }
        for text in ["", "KiB", "4KB", "4.5MiB", "-1", "18446744073709551615KiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert_eq!(size_text(4096), "4 KiB");
        assert_eq!(size_text(1 << 30), "1 GiB");
        assert_eq!(size_text(1000), "1000 B");
        assert_eq!(size_text(0), "0 B");
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("1.5"), Ok(Duration::from_millis(1500)));
        for text in ["", "s", "5d", "-1s", "1e400s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn micros() {
        assert_eq!(micros_text(45.21), "45.2 µs");
        assert_eq!(micros_text(4_180.0), "4180 µs");
        assert_eq!(micros_text(52_000.0), "52.0 ms");
        assert_eq!(micros_text(1_300_000.0), "1.30 s");
    }
}
