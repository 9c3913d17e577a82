//! Reads files of test vectors: `[kind]`, then lines `name = hex[,hex..]`; `#` begins a comment.

/// One part of a file of vectors: `[kind]`, then lines `name = hex[,hex..]`.
pub(crate) struct Part<'a> {
    pub(crate) kind: &'a str,
    fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Part<'a> {
    pub(crate) fn text(&self, name: &str) -> &'a str {
        self.optional(name).unwrap_or_else(|| panic!("no `{name}`"))
    }

    pub(crate) fn optional(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    pub(crate) fn list(&self, name: &str) -> Vec<Vec<u8>> {
        self.text(name).split(',').map(|text| hex::decode(text).unwrap()).collect()
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        hex::decode(self.text(name)).unwrap()
    }

    pub(crate) fn arrays<const N: usize>(&self, name: &str) -> Vec<[u8; N]> {
        self.list(name).into_iter().map(|bytes| bytes.try_into().unwrap()).collect()
    }
}

pub(crate) fn parts(file: &str) -> Vec<Part<'_>> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    for line in file.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(kind) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            parts.push(Part { kind, fields: Vec::new() });
        } else if let (Some(field), Some(part)) = (line.split_once(" = "), parts.last_mut()) {
            part.fields.push(field);
        }
    }
    parts
}
