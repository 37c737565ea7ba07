//! Apache ORC, compressed with zlib. Values are written as they come (the encoding
//! `DIRECT`): zlib takes out what names repeat, and no dictionary has to be held. There
//! are no row indexes; a stripe holds no more rows than an index entry would speak of.
//!
//! <https://orc.apache.org/specification/ORCv1/>

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use prost::Message;

use super::{Heading, Kind, Row, Value, snake_case};

const MAGIC: &str = "ORC";
/// Most plain bytes of a compressed block.
const BLOCK_BYTES: usize = 256 << 10;
/// 2015-01-01T00:00:00Z, from which timestamps are counted.
const EPOCH_S: i64 = 1_420_070_400;

/// The schema in ORC's own words.
pub(super) fn structure(headings: &[Heading]) -> String {
    let fields: Vec<String> = headings
        .iter()
        .map(|(name, kind)| {
            let kind = match kind {
                Kind::Name | Kind::Text => "string",
                Kind::Number => "bigint",
                Kind::Moment => "timestamp",
                Kind::Flag => "boolean",
            };
            format!("{}:{kind}", quoted(&snake_case(name)))
        })
        .collect();
    format!("struct<{}>", fields.join(","))
}

/// A name as a schema has it; other characters than a word's need quotes.
fn quoted(name: &str) -> String {
    match name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        true => name.to_owned(),
        false => format!("`{}`", name.replace('`', "``")),
    }
}

pub(super) struct Orc {
    kinds: Vec<Kind>,
    /// What was written since it was taken the last time.
    file: Vec<u8>,
    /// Bytes of the file that were taken.
    taken_bytes: u64,
    stripes: Vec<StripeInformation>,
    /// Of all rows together, and of each column.
    statistics: Vec<ColumnStatistics>,
    types: Vec<Type>,
}

impl Orc {
    pub fn new(headings: &[Heading]) -> Orc {
        let count = headings.len() as u32;
        let root = Type {
            kind: Some(TypeKind::Struct as u32),
            subtypes: (1..=count).collect(),
            names: headings.iter().map(|(name, _)| snake_case(name)).collect(),
        };
        let kinds: Vec<Kind> = headings.iter().map(|(_, kind)| *kind).collect();
        let columns = kinds.iter().map(|kind| {
            let kind = match kind {
                Kind::Name | Kind::Text => TypeKind::String,
                Kind::Number => TypeKind::Long,
                Kind::Moment => TypeKind::Timestamp,
                Kind::Flag => TypeKind::Boolean,
            };
            Type { kind: Some(kind as u32), ..Type::default() }
        });
        let types: Vec<Type> = [root].into_iter().chain(columns).collect();
        let statistics = ColumnStatistics { values: Some(0), has_null: Some(false) };
        Orc {
            kinds,
            file: MAGIC.into(),
            taken_bytes: 0,
            stripes: Vec::new(),
            statistics: vec![statistics; types.len()],
            types,
        }
    }

    pub fn take(&mut self) -> Bytes {
        self.taken_bytes += self.file.len() as u64;
        std::mem::take(&mut self.file).into()
    }

    fn length(&self) -> u64 {
        self.taken_bytes + self.file.len() as u64
    }

    pub fn write_stripe(&mut self, rows: &[Row]) -> io::Result<()> {
        let offset = self.length();
        let mut footer = StripeFooter { time_zone: "UTC".into(), ..StripeFooter::default() };
        footer.encodings.push(ColumnEncoding { kind: Some(DIRECT) });
        self.statistics[0].add(rows.len(), 0);
        for (at, kind) in self.kinds.iter().enumerate() {
            let column = at as u32 + 1;
            footer.encodings.push(ColumnEncoding { kind: Some(DIRECT) });
            let values: Vec<&Value> = rows.iter().map(|row| &row[at]).collect();
            let there = values.iter().filter(|value| ***value != Value::Nothing).count();
            self.statistics[at + 1].add(there, values.len() - there);
            let mut streams = streams(&values, *kind);
            if there < values.len() {
                let flags = values.iter().map(|value| **value != Value::Nothing);
                streams.insert(0, (StreamKind::Present, flags_of(flags)));
            }
            for (kind, plain) in streams {
                let before = self.file.len();
                write_blocks(&mut self.file, &plain)?;
                let length = (self.file.len() - before) as u64;
                footer.streams.push(Stream {
                    kind: Some(kind as u32),
                    column: Some(column),
                    length: Some(length),
                });
            }
        }
        let data_bytes = self.length() - offset;
        write_blocks(&mut self.file, &footer.encode_to_vec())?;
        self.stripes.push(StripeInformation {
            offset: Some(offset),
            index_bytes: Some(0),
            data_bytes: Some(data_bytes),
            footer_bytes: Some(self.length() - offset - data_bytes),
            rows: Some(rows.len() as u64),
        });
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<Bytes> {
        let footer = Footer {
            header_bytes: Some(MAGIC.len() as u64),
            content_bytes: Some(self.length() - MAGIC.len() as u64),
            rows: self.statistics[0].values,
            row_index_stride: Some(0),
            stripes: self.stripes,
            types: self.types,
            statistics: self.statistics,
        };
        let before = self.file.len();
        write_blocks(&mut self.file, &footer.encode_to_vec())?;
        let postscript = Postscript {
            footer_bytes: Some((self.file.len() - before) as u64),
            compression: Some(ZLIB),
            block_bytes: Some(BLOCK_BYTES as u64),
            version: vec![0, 12],
            metadata_bytes: Some(0),
            writer_version: Some(WRITER_VERSION),
            magic: Some(MAGIC.into()),
        };
        let postscript = postscript.encode_to_vec();
        self.file.extend_from_slice(&postscript);
        // Some thirty bytes.
        self.file.push(postscript.len() as u8);
        Ok(self.file.into())
    }
}

/// What a column's values are written as; none for those that are nothing.
fn streams(values: &[&Value], kind: Kind) -> Vec<(StreamKind, Vec<u8>)> {
    match kind {
        Kind::Name | Kind::Text => {
            // Bytes that are there for names, which are never nothing, are there.
            let texts: Vec<&str> = values.iter().filter_map(|value| value.text()).collect();
            let lengths: Vec<u64> = texts.iter().map(|text| text.len() as u64).collect();
            let data = texts.concat().into_bytes();
            vec![(StreamKind::Data, data), (StreamKind::Length, numbers_of(&lengths))]
        }
        Kind::Number => {
            let numbers = values.iter().filter_map(|value| value.number());
            let numbers: Vec<u64> = numbers.map(zigzag).collect();
            vec![(StreamKind::Data, numbers_of(&numbers))]
        }
        Kind::Moment => {
            let moments = || values.iter().filter_map(|value| value.number());
            let seconds: Vec<u64> = moments().map(|ms| zigzag(ms / 1000 - EPOCH_S)).collect();
            let nanos: Vec<u64> =
                moments().map(|ms| nanos((ms % 1000) as u64 * 1_000_000)).collect();
            vec![
                (StreamKind::Data, numbers_of(&seconds)),
                (StreamKind::Secondary, numbers_of(&nanos)),
            ]
        }
        Kind::Flag => {
            let flags = values.iter().filter_map(|value| value.flag());
            vec![(StreamKind::Data, flags_of(flags))]
        }
    }
}

/// Without its zeros at the end, if there are two or more; their number, less one, is in
/// the lowest three bits.
fn nanos(nanos: u64) -> u64 {
    if nanos == 0 || !nanos.is_multiple_of(100) {
        return nanos << 3;
    }
    let (mut rest, mut zeros) = (nanos / 100, 1);
    while rest.is_multiple_of(10) && zeros < 7 {
        rest /= 10;
        zeros += 1;
    }
    rest << 3 | zeros
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

/// Longest run, and longest sequence without one.
const RUN_MAX: usize = 127 + RUN_MIN;
const LITERALS_MAX: usize = 128;
const RUN_MIN: usize = 3;

/// Pieces of which each is a run of equal values, or values that are in no run.
fn pieces<T: PartialEq>(values: &[T]) -> Vec<(bool, &[T])> {
    let run = |from: usize| {
        let equal = values[from..].iter().take(RUN_MAX).take_while(|value| **value == values[from]);
        equal.count()
    };
    let (mut pieces, mut at) = (Vec::new(), 0);
    while at < values.len() {
        let from = at;
        let length = run(at);
        if length >= RUN_MIN {
            at += length;
            pieces.push((true, &values[from..at]));
            continue;
        }
        while at < values.len() && at - from < LITERALS_MAX && run(at) < RUN_MIN {
            at += 1;
        }
        pieces.push((false, &values[from..at]));
    }
    pieces
}

/// Run-length encoded integers of the first version, whose runs have a step that is
/// zero here.
fn numbers_of(numbers: &[u64]) -> Vec<u8> {
    let mut data = Vec::with_capacity(numbers.len() * 2);
    for (is_run, piece) in pieces(numbers) {
        let literals = match is_run {
            true => {
                data.extend_from_slice(&[(piece.len() - RUN_MIN) as u8, 0]);
                &piece[..1]
            }
            false => {
                data.push((piece.len() as u8).wrapping_neg());
                piece
            }
        };
        for number in literals {
            prost::encoding::encode_varint(*number, &mut data);
        }
    }
    data
}

/// Bits, the first one highest in its byte, run-length encoded by bytes.
fn flags_of(flags: impl Iterator<Item = bool>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, flag) in flags.enumerate() {
        if at.is_multiple_of(8) {
            bytes.push(0);
        }
        if let Some(last) = bytes.last_mut() {
            *last |= u8::from(flag) << (7 - at % 8);
        }
    }
    let mut data = Vec::new();
    for (is_run, piece) in pieces(&bytes) {
        match is_run {
            true => data.extend_from_slice(&[(piece.len() - RUN_MIN) as u8, piece[0]]),
            false => {
                data.push((piece.len() as u8).wrapping_neg());
                data.extend_from_slice(piece);
            }
        }
    }
    data
}

/// Blocks, each with its length and whether it is plain in three bytes before it.
fn write_blocks(file: &mut Vec<u8>, plain: &[u8]) -> io::Result<()> {
    for block in plain.chunks(BLOCK_BYTES) {
        let room = Vec::with_capacity(block.len() / 2);
        let mut deflate = DeflateEncoder::new(room, Compression::default());
        deflate.write_all(block)?;
        let packed = deflate.finish()?;
        let (bytes, is_plain) = match packed.len() < block.len() {
            true => (&packed[..], 0),
            false => (block, 1),
        };
        let header = (bytes.len() as u32) << 1 | is_plain;
        file.extend_from_slice(&header.to_le_bytes()[..3]);
        file.extend_from_slice(bytes);
    }
    Ok(())
}

// Messages of the format, as far as they are used. Readers of it tell fields that are
// absent from those that are zero.

const DIRECT: u32 = 0;
const ZLIB: u32 = 1;
/// What is known of mistakes of writers before it does not hold.
const WRITER_VERSION: u32 = 6;

#[derive(Clone, Copy)]
enum TypeKind {
    Boolean = 0,
    Long = 4,
    String = 7,
    Timestamp = 9,
    Struct = 12,
}

#[derive(Clone, Copy)]
enum StreamKind {
    Present = 0,
    Data = 1,
    Length = 2,
    Secondary = 5,
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(uint32, optional, tag = "1")]
    kind: Option<u32>,
    #[prost(uint32, repeated, tag = "2")]
    subtypes: Vec<u32>,
    #[prost(string, repeated, tag = "3")]
    names: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct ColumnStatistics {
    #[prost(uint64, optional, tag = "1")]
    values: Option<u64>,
    #[prost(bool, optional, tag = "10")]
    has_null: Option<bool>,
}

impl ColumnStatistics {
    fn add(&mut self, values: usize, nulls: usize) {
        self.values = Some(self.values.unwrap_or_default() + values as u64);
        self.has_null = Some(self.has_null.unwrap_or_default() || nulls > 0);
    }
}

#[derive(Clone, PartialEq, Message)]
struct Stream {
    #[prost(uint32, optional, tag = "1")]
    kind: Option<u32>,
    #[prost(uint32, optional, tag = "2")]
    column: Option<u32>,
    #[prost(uint64, optional, tag = "3")]
    length: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct ColumnEncoding {
    #[prost(uint32, optional, tag = "1")]
    kind: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct StripeFooter {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<Stream>,
    #[prost(message, repeated, tag = "2")]
    encodings: Vec<ColumnEncoding>,
    #[prost(string, tag = "3")]
    time_zone: String,
}

#[derive(Clone, PartialEq, Message)]
struct StripeInformation {
    #[prost(uint64, optional, tag = "1")]
    offset: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    index_bytes: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    data_bytes: Option<u64>,
    #[prost(uint64, optional, tag = "4")]
    footer_bytes: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    rows: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct Footer {
    #[prost(uint64, optional, tag = "1")]
    header_bytes: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    content_bytes: Option<u64>,
    #[prost(message, repeated, tag = "3")]
    stripes: Vec<StripeInformation>,
    #[prost(message, repeated, tag = "4")]
    types: Vec<Type>,
    #[prost(uint64, optional, tag = "6")]
    rows: Option<u64>,
    #[prost(message, repeated, tag = "7")]
    statistics: Vec<ColumnStatistics>,
    #[prost(uint32, optional, tag = "8")]
    row_index_stride: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct Postscript {
    #[prost(uint64, optional, tag = "1")]
    footer_bytes: Option<u64>,
    #[prost(uint32, optional, tag = "2")]
    compression: Option<u32>,
    #[prost(uint64, optional, tag = "3")]
    block_bytes: Option<u64>,
    #[prost(uint32, repeated, tag = "4")]
    version: Vec<u32>,
    #[prost(uint64, optional, tag = "5")]
    metadata_bytes: Option<u64>,
    #[prost(uint32, optional, tag = "6")]
    writer_version: Option<u32>,
    #[prost(string, optional, tag = "8000")]
    magic: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, headings};
    use super::super::{GROUP_ROWS, Sheet};
    use super::*;
    use crate::inventory::{Form, Format};

    #[test]
    fn the_schema_is_in_orcs_words() {
        assert_eq!(
            structure(&headings()),
            "struct<bucket:string,key:string,size:bigint,last_modified_date:timestamp,\
             is_latest:boolean,e_tag:string>"
        );
        let odd = [("x-cos-meta-a`b".to_owned(), Kind::Text), ("Crc64".to_owned(), Kind::Text)];
        assert_eq!(structure(&odd), "struct<`x-cos-meta-a``b`:string,crc64:string>");
    }

    #[test]
    fn integers_are_encoded_as_the_specification_has_it() {
        assert_eq!(numbers_of(&[7; 100]), [0x61, 0x00, 0x07]);
        assert_eq!(numbers_of(&[2, 3, 6, 7, 11]), [0xfb, 0x02, 0x03, 0x06, 0x07, 0x0b]);
        assert_eq!(numbers_of(&[300, 5, 5, 5]), [0xff, 0xac, 0x02, 0x00, 0x00, 0x05]);
        assert!(numbers_of(&[]).is_empty());
        let long = numbers_of(&[9; 131]);
        assert_eq!(long, [0x7f, 0x00, 0x09, 0xff, 0x09]);
        let different: Vec<u64> = (0..129).map(|number| number % 100).collect();
        let encoded = numbers_of(&different);
        assert_eq!((encoded.len(), encoded[0], encoded[129]), (131, 0x80, 0xff));
        assert_eq!([0, -1, 1, -2, i64::MIN].map(zigzag), [0, 1, 2, 3, u64::MAX]);
    }

    #[test]
    fn flags_are_encoded_as_the_specification_has_it() {
        let bits = |bytes: &[u8]| {
            let bits = |byte: u8| (0..8).map(move |at| byte >> (7 - at) & 1 == 1);
            bytes.iter().copied().flat_map(bits).collect::<Vec<_>>()
        };
        assert_eq!(flags_of(bits(&[0; 100]).into_iter()), [0x61, 0x00]);
        assert_eq!(flags_of(bits(&[0x44, 0x45]).into_iter()), [0xfe, 0x44, 0x45]);
        assert_eq!(flags_of([true].into_iter()), [0xff, 0x80]);
    }

    #[test]
    fn nanoseconds_lose_their_zeros() {
        assert_eq!([0, 1000, 100_000].map(nanos), [0x00, 0x0a, 0x0c]);
        assert_eq!(nanos(123_000_000), 123 << 3 | 5);
        assert_eq!(nanos(999_000_001), 999_000_001 << 3);
    }

    /// What is compressed in blocks.
    fn plain(mut packed: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        while let [a, b, c, rest @ ..] = packed {
            let header = u32::from_le_bytes([*a, *b, *c, 0]);
            let (block, rest) = rest.split_at((header >> 1) as usize);
            let before = plain.len();
            match header & 1 {
                1 => plain.extend_from_slice(block),
                _ => {
                    let mut inflate = flate2::write::DeflateDecoder::new(&mut plain);
                    inflate.write_all(block).unwrap();
                    inflate.finish().unwrap();
                }
            }
            assert!(plain.len() - before <= BLOCK_BYTES);
            packed = rest;
        }
        plain
    }

    fn footer(file: &[u8]) -> Footer {
        let (length, rest) = file.split_last().unwrap();
        let (rest, postscript) = rest.split_at(rest.len() - usize::from(*length));
        let postscript = Postscript::decode(postscript).unwrap();
        assert_eq!(postscript.magic.as_deref(), Some("ORC"));
        let footer = &rest[rest.len() - postscript.footer_bytes.unwrap() as usize..];
        Footer::decode(plain(footer).as_slice()).unwrap()
    }

    /// That its values are read, an independent reader shows in the suites.
    #[test]
    fn a_file_leads_to_its_stripes() {
        for count in [0, 1, GROUP_ROWS as u64, GROUP_ROWS as u64 + 7] {
            let file = file(Format::Orc, count);
            assert!(file.starts_with(b"ORC"));

            let footer = footer(&file);
            assert_eq!(footer.rows, Some(count));
            assert_eq!(footer.stripes.len() as u64, count.div_ceil(GROUP_ROWS as u64));
            let values: Vec<_> = footer.statistics.iter().map(|one| one.values.unwrap()).collect();
            let (even, fifth) = (count.div_ceil(2), count.div_ceil(5));
            assert_eq!(values, [count, count, count, even, count, count, fifth]);
            let mut next = 3;
            for (at, stripe) in footer.stripes.iter().enumerate() {
                assert_eq!(stripe.offset, Some(next));
                let data = next + stripe.data_bytes.unwrap();
                next = data + stripe.footer_bytes.unwrap();
                let stripe = plain(&file[data as usize..next as usize]);
                let stripe = StripeFooter::decode(stripe.as_slice()).unwrap();
                assert_eq!(stripe.encodings.len(), headings().len() + 1);
                let lengths = stripe.streams.iter().map(|stream| stream.length.unwrap());
                assert_eq!(lengths.sum::<u64>(), footer.stripes[at].data_bytes.unwrap());
            }
            assert_eq!(footer.content_bytes, Some(next - 3));
        }
    }

    #[test]
    fn values_of_any_length_are_written() {
        let long = "x".repeat(BLOCK_BYTES + 1);
        let headings = [("Key".to_owned(), Kind::Name)];
        let mut sheet = Sheet::new(Format::Orc, Form::S3, &headings).unwrap();
        let mut file = sheet.add(vec![vec![Value::Key(long.clone())]]).unwrap().to_vec();
        file.extend_from_slice(&sheet.finish().unwrap());
        let stripe = footer(&file).stripes[0].clone();
        let at = stripe.offset.unwrap() as usize;
        let all = plain(&file[at..at + stripe.data_bytes.unwrap() as usize]);
        assert!(all.starts_with(long.as_bytes()));
    }
}
