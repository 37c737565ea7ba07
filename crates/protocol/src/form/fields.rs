//! The fields that precede the file.

use super::{FIELDS_MAX, FormError};

/// Fields in the order sent, and the file's name. Names are compared without
/// case and are unique.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormFields {
    fields: Vec<(String, String)>,
    file_name: Option<String>,
}

impl FormFields {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Names as sent, with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The uploaded file's name without the folders some clients send with it.
    /// Empty if there is none.
    pub fn file_name(&self) -> &str {
        let full = self.file_name.as_deref().unwrap_or_default();
        full.rsplit(['/', '\\']).next().unwrap_or_default()
    }

    /// The text with each `${filename}` replaced by the file's name.
    pub fn substitute_file_name(&self, text: &str) -> String {
        text.replace("${filename}", self.file_name())
    }

    pub(super) fn add(&mut self, name: String, value: String) -> Result<(), FormError> {
        if self.get(&name).is_some() {
            return Err(FormError::Duplicate(name));
        }
        if self.fields.len() == FIELDS_MAX {
            return Err(FormError::TooManyFields);
        }
        self.fields.push((name, value));
        Ok(())
    }

    pub(super) fn set_file_name(&mut self, name: Option<String>) {
        self.file_name = name;
    }
}
