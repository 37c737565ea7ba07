//! `costrel bill`: what a month costs, and closing it.

mod csv;
mod pages;

use std::fs::File;
use std::io::{self, Write};

use costrel_core::bill::Month;
use costrel_protocol::percent;

use crate::asking::{AskError, Asker};
use crate::cli::{BillArgs, BillCommand, ExportArgs, ServeArgs};
use crate::prices;

pub use pages::{PREFIX, answer};

#[derive(Debug, thiserror::Error)]
pub enum BillError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("'{0}' is no month like 2026-11")]
    Month(String),
    #[error("the server's answer cannot be read")]
    Answer,
    #[error("{0}")]
    Write(#[from] io::Error),
}

pub fn run(command: BillCommand) -> Result<(), BillError> {
    match command {
        BillCommand::Show(args) => say(*args, pages::SHOW, Asker::ask),
        BillCommand::Close(args) => say(*args, pages::CLOSE, Asker::tell),
        BillCommand::Reopen(args) => say(*args, pages::REOPEN, Asker::tell),
        BillCommand::Export(args) => export(*args),
        BillCommand::Prices => {
            print!("{}", prices::EXAMPLE);
            Ok(())
        }
    }
}

fn month(text: &str) -> Result<Month, BillError> {
    Month::parse(text).ok_or_else(|| BillError::Month(text.to_owned()))
}

fn say(
    args: BillArgs,
    path: &str,
    how: fn(&Asker, &str) -> Result<String, AskError>,
) -> Result<(), BillError> {
    let target = format!("{path}?month={}", month(&args.month)?);
    print!("{}", how(&Asker::new(args.serve)?, &target)?);
    Ok(())
}

fn export(args: ExportArgs) -> Result<(), BillError> {
    let (month, asker) = (month(&args.month)?, asker(args.serve)?);
    let mut first = page(&asker, month, "0")?;
    // The file is not touched before the server has answered.
    match args.output {
        Some(path) => {
            let mut file = io::BufWriter::new(File::create(path)?);
            write_pages(&asker, month, &mut first, &mut file)?;
            let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            Ok(file.sync_all()?)
        }
        None => write_pages(&asker, month, &mut first, &mut io::stdout().lock()),
    }
}

fn asker(serve: ServeArgs) -> Result<Asker, BillError> {
    Ok(Asker::new(serve)?)
}

/// Lines of the file, and where to go on behind them; empty at the end.
struct Page {
    next: String,
    lines: String,
}

fn page(asker: &Asker, month: Month, offset: &str) -> Result<Page, BillError> {
    let offset = percent::encode(offset);
    let text = asker.ask(&format!("{}?month={month}&offset={offset}", pages::ROWS))?;
    let (next, lines) = text.split_once('\n').ok_or(BillError::Answer)?;
    Ok(Page { next: next.to_owned(), lines: lines.to_owned() })
}

fn write_pages(
    asker: &Asker,
    month: Month,
    current: &mut Page,
    into: &mut dyn Write,
) -> Result<(), BillError> {
    into.write_all(csv::HEAD.as_bytes())?;
    loop {
        into.write_all(current.lines.as_bytes())?;
        if current.next.is_empty() {
            return Ok(into.flush()?);
        }
        *current = page(asker, month, &current.next)?;
    }
}
