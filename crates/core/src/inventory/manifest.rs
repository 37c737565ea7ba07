//! Names of a report's objects, and the manifest that lists its files.

use md5::{Digest as _, Md5};
use serde_json::json;

use super::schedule::COS_AHEAD_S;
use super::{Form, Inventory, Progress};
use crate::civil::Civil;
use crate::error::Result;
use crate::limits::KEY_BYTES_MAX;
use crate::names::BucketName;

/// What a name has besides the prefix and the id, in bytes, at most.
const NAME_BYTES_MAX: usize =
    "/".len() + 63 + "/".len() + "/hive/dt=2026-01-01-00-00/".len() + "symlink.txt".len() + 40;

const _: () = assert!(crate::limits::BUCKET_NAME_BYTES_MAX == 63);

/// Longest prefix that leaves room for the rest of a name, in bytes.
pub(super) fn prefix_bytes_max(id: &str) -> usize {
    KEY_BYTES_MAX - NAME_BYTES_MAX - id.len()
}

impl Inventory {
    /// What all names of a bucket's reports begin with, the slash included.
    pub fn folder(&self, bucket: &BucketName) -> String {
        let mut folder = match self.prefix.as_deref() {
            None | Some("") => String::new(),
            Some(prefix) => format!("{}/", prefix.strip_suffix('/').unwrap_or(prefix)),
        };
        match (self.form(), bucket.appid(), bucket.as_str().rsplit_once('-')) {
            (Form::Cos, Some(appid), Some((short, _))) => {
                folder.push_str(&format!("{appid}/{short}"));
            }
            _ => folder.push_str(bucket.as_str()),
        }
        format!("{folder}/{}/", self.id)
    }

    /// The name of the next file.
    pub(super) fn file_key(&self, bucket: &BucketName, progress: &Progress) -> String {
        let index = progress.files.len().to_be_bytes();
        let digest = Md5::new().chain_update(&progress.token).chain_update(index).finalize();
        let hash = hex::encode(digest);
        let (folder, ending) = (self.folder(bucket), self.format().ending());
        match self.form() {
            Form::Cos => format!("{folder}{hash}.{ending}"),
            Form::S3 => {
                let (a, b, c, d, e) =
                    (&hash[..8], &hash[8..12], &hash[12..16], &hash[16..20], &hash[20..]);
                format!("{folder}data/{a}-{b}-{c}-{d}-{e}.{ending}")
            }
        }
    }
}

/// What a complete report has besides its files, in the order in which it is to be
/// written: whoever finds the last finds the others.
pub(super) struct Closing {
    /// Name, content and media type.
    pub objects: Vec<(String, String, &'static str)>,
}

impl Closing {
    /// Of a bucket of this name.
    pub fn of(bucket: &BucketName, inventory: &Inventory, progress: &Progress) -> Result<Closing> {
        let (schema, files) = (inventory.schema()?, &progress.files);
        let folder = inventory.folder(bucket);
        let ahead_s = match inventory.form() {
            // The name of the day that reports are due by.
            Form::Cos => COS_AHEAD_S,
            Form::S3 => 0,
        };
        let local_ms = progress.began_ms + u64::from(ahead_s) * 1000;
        let Civil { year, month, day, hour, minute, .. } = Civil::of_ms(local_ms);
        let target = &inventory.target;
        let (manifest, place) = match inventory.form() {
            Form::Cos => {
                let number = |number: u64| number.to_string();
                let target = BucketName::new(target).ok();
                let appid = |name: &BucketName| name.appid().map(number).unwrap_or_default();
                let files: Vec<_> = files
                    .iter()
                    .map(|file| {
                        json!({
                            "key": file.key, "size": number(file.size), "md5Checksum": file.md5
                        })
                    })
                    .collect();
                let manifest = json!({
                    "sourceAppid": appid(bucket),
                    "sourceBucket": short(bucket),
                    "destinationAppid": target.as_ref().map(appid),
                    "destinationBucket": target.as_ref().map(short),
                    "fileFormat": inventory.format().name(),
                    "listObjectCount": number(progress.listed_count),
                    "listStorageSize": number(progress.listed_bytes),
                    "filterObjectCount": number(progress.written_count),
                    "filterStorageSize": number(progress.written_bytes),
                    "fileSchema": schema,
                    "files": files,
                });
                (manifest, format!("{folder}{year:04}{month:02}{day:02}/"))
            }
            Form::S3 => {
                let files: Vec<_> = files
                    .iter()
                    .map(|file| {
                        json!({ "key": file.key, "size": file.size, "MD5checksum": file.md5 })
                    })
                    .collect();
                let manifest = json!({
                    "sourceBucket": bucket.as_str(),
                    "destinationBucket": format!("arn:aws:s3:::{target}"),
                    "version": "2016-11-30",
                    "creationTimestamp": progress.began_ms.to_string(),
                    "fileFormat": inventory.format().name(),
                    "fileSchema": schema,
                    "files": files,
                });
                let moment = format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}Z");
                (manifest, format!("{folder}{moment}/"))
            }
        };
        let mut objects = Vec::new();
        if inventory.form() == Form::S3 {
            let hive = format!("{year:04}-{month:02}-{day:02}-{hour:02}-{minute:02}");
            let links = files.iter().map(|file| format!("s3://{target}/{}\n", file.key));
            let key = format!("{folder}hive/dt={hive}/symlink.txt");
            objects.push((key, links.collect(), "text/plain"));
        }
        let manifest = format!("{manifest:#}\n");
        let checksum = hex::encode(Md5::digest(manifest.as_bytes()));
        objects.push((format!("{place}manifest.json"), manifest, "application/json"));
        objects.push((format!("{place}manifest.checksum"), checksum, "text/plain"));
        Ok(Closing { objects })
    }
}

/// A bucket's name as COS has it beside its APPID.
pub(super) fn short(name: &BucketName) -> &str {
    match name.as_str().rsplit_once('-') {
        Some((short, _)) if name.appid().is_some() => short,
        _ => name.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        let bucket = BucketName::new("examplebucket-1250000000").unwrap();
        let name = |form: Form, prefix: Option<&str>| {
            let inventory = Inventory {
                id: "daily".into(),
                form: form as u32,
                prefix: prefix.map(str::to_owned),
                ..Default::default()
            };
            inventory.file_key(&bucket, &Progress::default())
        };
        let cos = "1250000000/examplebucket/daily/";
        let is_hash = |text: &str| hex::decode(text).is_ok_and(|digest| digest.len() == 16);
        for (prefix, folder) in [(None, ""), (Some(""), ""), (Some("p"), "p/"), (Some("p/"), "p/")]
        {
            let key = name(Form::Cos, prefix);
            let rest = key.strip_prefix(&format!("{folder}{cos}")).unwrap();
            assert!(is_hash(rest.strip_suffix(".csv.gz").unwrap()), "{key}");
        }
        let key = name(Form::S3, Some("p"));
        let rest = key.strip_prefix("p/examplebucket-1250000000/daily/data/").unwrap();
        assert_eq!(rest.len(), "00000000-0000-0000-0000-000000000000.csv.gz".len());
    }

    #[test]
    fn the_longest_names_are_keys() {
        let bucket = BucketName::new(&format!("{}-1250000000", "b".repeat(52))).unwrap();
        assert_eq!(bucket.as_str().len(), 63);
        let id = "i".repeat(64);
        let prefix = Some("p".repeat(prefix_bytes_max(&id)));
        for form in [Form::Cos, Form::S3] {
            let inventory = Inventory {
                id: id.clone(),
                form: form as u32,
                prefix: prefix.clone(),
                ..Default::default()
            };
            assert!(inventory.file_key(&bucket, &Progress::default()).len() <= KEY_BYTES_MAX);
            let hive = format!("{}hive/dt=2026-01-01-00-00/symlink.txt", inventory.folder(&bucket));
            assert!(hive.len() <= KEY_BYTES_MAX);
        }
    }
}
