//! Rows in the binary form of PostgreSQL's COPY (its manual, "COPY", binary format).

use crate::table::{Row, Value};

const HEAD: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const END: [u8; 2] = (-1_i16).to_be_bytes();
/// The type `bytea`.
const BYTEA: u32 = 17;

/// How a stream begins.
pub(crate) fn head() -> Vec<u8> {
    HEAD.to_vec()
}

/// How it ends.
pub(crate) fn end() -> Vec<u8> {
    END.to_vec()
}

/// Rows in between.
pub(crate) fn encode(rows: &[Row]) -> Vec<u8> {
    let mut out = Vec::new();
    for row in rows {
        out.extend(u16::try_from(row.len()).unwrap_or(u16::MAX).to_be_bytes());
        for value in row {
            write(&mut out, value);
        }
    }
    out
}

fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend((-1_i32).to_be_bytes()),
        Value::Int(number) => field(out, &number.to_be_bytes()),
        Value::Bytes(bytes) => field(out, bytes),
        Value::Text(text) => field(out, text.as_bytes()),
        Value::Hashes(hashes) => field(out, &array(hashes)),
    }
}

fn field(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(bytes);
}

/// Dimensions, flags, type of the elements; length and first index of the one dimension; the elements.
fn array(hashes: &[[u8; 32]]) -> Vec<u8> {
    let mut out = Vec::new();
    let count = u32::try_from(hashes.len()).unwrap_or(u32::MAX);
    for number in [u32::from(count > 0), 0, BYTEA] {
        out.extend(number.to_be_bytes());
    }
    if count > 0 {
        out.extend([count.to_be_bytes(), 1_u32.to_be_bytes()].as_flattened());
        hashes.iter().for_each(|hash| field(&mut out, hash));
    }
    out
}
