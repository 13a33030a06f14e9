//! What a template names on this machine: read, packed, and brought to a bucket under its hash.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use aws_sdk_s3::primitives::ByteStream;
use jitp_stack::{Node, Tree};
use serde_json::json;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::DeployError;
use crate::{Cloud, CloudError};

/// What a function may have, unpacked (AWS Lambda developer guide, "Quotas"); more is not read into memory.
const LARGEST: u64 = 250 * 1024 * 1024;
/// The largest template that travels in a request (CloudFormation user guide, "Quotas").
const LARGEST_BODY: usize = 51_200;
/// The largest that a bucket may hand over.
const LARGEST_TEMPLATE: usize = 1_000_000;

/// A template, and the packages of the functions that it makes of files on this machine.
#[derive(Clone, Debug)]
pub struct Artefacts {
    /// The template as it is written.
    pub template: Node,
    /// The packages, each with the resource it is for.
    pub packages: Vec<Package>,
}

/// The zip file of a function.
#[derive(Clone)]
pub struct Package {
    /// The function's name in the template.
    pub id: String,
    /// The zip file.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Package {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Package")
            .field("id", &self.id)
            .field("bytes", &format_args!("{}", self.bytes.len()))
            .finish()
    }
}

/// Where packages and large templates go.
#[derive(Clone, Copy, Debug)]
pub struct Bucket<'a>(pub Option<&'a str>);

impl Bucket<'_> {
    fn name(&self, what: impl FnOnce() -> String) -> Result<&str, DeployError> {
        let name = self.0.filter(|name| !name.is_empty());
        name.ok_or_else(|| DeployError::NoBucket { what: what() })
    }
}

impl Artefacts {
    /// Reads a template and packs what its functions are made of; paths in it start at `folder`.
    ///
    /// # Errors
    /// When the template is neither JSON nor YAML, or a file cannot be read.
    pub fn read(text: &str, folder: &Path) -> Result<Self, DeployError> {
        let Self {
            template,
            mut packages,
        } = Self::without_packages(text)?;
        let resources = template.member("Resources").into_iter();
        for (id, resource) in resources.flat_map(Node::members) {
            let Some(named) = local_code(resource) else {
                continue;
            };
            let path = folder.join(named);
            let bytes = pack(&path).map_err(|reason| DeployError::Package {
                id: id.to_owned(),
                path,
                reason,
            })?;
            packages.push(Package {
                id: id.to_owned(),
                bytes,
            });
        }
        Ok(Self { template, packages })
    }

    /// Reads a template only, which is enough to delete what it makes.
    ///
    /// # Errors
    /// When it is neither JSON nor YAML.
    pub fn without_packages(text: &str) -> Result<Self, DeployError> {
        Ok(Self {
            template: jitp_stack::read(text)?,
            packages: Vec::new(),
        })
    }

    /// The parameters that the template declares.
    pub fn declared(&self) -> Vec<String> {
        let declared = self.template.member("Parameters").into_iter();
        let declared = declared.flat_map(Node::members);
        declared.map(|(name, _)| name.to_owned()).collect()
    }

    /// The template as JSON, with a bucket and a key in place of each path.
    fn packaged(&self, places: &[(String, String, String)]) -> String {
        let mut template = self.template.to_value();
        for (id, bucket, key) in places {
            template["Resources"][id]["Properties"]["Code"] =
                json!({ "S3Bucket": bucket, "S3Key": key });
        }
        template.to_string()
    }
}

impl Cloud {
    /// Brings packages to the bucket, unless they are there, and the template too if it is large; answers its body, and its
    /// URL if it has one.
    ///
    /// # Errors
    /// When a bucket is needed and none is named, it does not exist, or the template is too large.
    pub async fn bring_artefacts(
        &self,
        artefacts: &Artefacts,
        bucket: Bucket<'_>,
    ) -> Result<(String, Option<String>), DeployError> {
        let mut places = Vec::new();
        for Package { id, bytes } in &artefacts.packages {
            let bucket = bucket.name(|| format!("the package of {id}"))?;
            let key = format!("{}.zip", hash(bytes));
            self.bring_object(bucket, &key, bytes).await?;
            places.push((id.clone(), bucket.to_owned(), key));
        }
        let body = artefacts.packaged(&places);
        if body.len() <= LARGEST_BODY {
            return Ok((body, None));
        }
        if body.len() > LARGEST_TEMPLATE {
            return Err(DeployError::TooLarge {
                octets: body.len(),
                limit: LARGEST_TEMPLATE,
            });
        }
        let bucket = bucket.name(|| format!("a template of {} octets", body.len()))?;
        let key = format!("{}.template", hash(body.as_bytes()));
        self.bring_object(bucket, &key, body.as_bytes()).await?;
        let url = format!("{}/{bucket}/{key}", self.s3_endpoint());
        Ok((body, Some(url)))
    }

    async fn bring_object(&self, bucket: &str, key: &str, bytes: &[u8]) -> Result<(), CloudError> {
        let send = || self.s3().head_object().bucket(bucket).key(key).send();
        match self.call("HeadObject", send).await {
            // Under the hash of its content nothing else can be.
            Ok(_) => return Ok(()),
            // The answer to HEAD has no body that would name the error: the bucket may be missing as well.
            Err(error) if is_404(&error) => {}
            Err(error) => return Err(error),
        }
        let send = || {
            let call = self.s3().put_object().bucket(bucket).key(key);
            call.body(ByteStream::from(bytes.to_vec())).send()
        };
        self.call("PutObject", send).await.map(drop)
    }

    /// Where CloudFormation finds a bucket: the endpoint of S3, with the bucket as the first part of the path.
    fn s3_endpoint(&self) -> String {
        match self.config.endpoint_url() {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => {
                let china = self.region().starts_with("cn-");
                let suffix = if china { ".cn" } else { "" };
                format!("https://s3.{}.amazonaws.com{suffix}", self.region())
            }
        }
    }
}

fn is_404(error: &CloudError) -> bool {
    error.is("NotFound") || matches!(error, CloudError::Nameless { status: 404, .. })
}

/// The path in `Code` of a function: a text, where a template that is deployed has a bucket and a key.
fn local_code(resource: &Node) -> Option<&str> {
    let kind = resource.member("Type").and_then(Node::as_str);
    if kind != Some("AWS::Lambda::Function") {
        return None;
    }
    let code = resource.member("Properties")?.member("Code")?;
    match &code.value {
        Tree::Text(text) => Some(&text.text),
        _ => None,
    }
}

/// A zip file as it is; anything else packed, always to the same octets.
fn pack(path: &Path) -> Result<Vec<u8>, String> {
    let mut left = LARGEST;
    if path.is_file() {
        let bytes = read(path, &mut left)?;
        if bytes.starts_with(b"PK\x03\x04") {
            return Ok(bytes);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mode = mode(path)?;
        return zipped([(name.into_owned(), mode, bytes)]).map_err(|error| error.to_string());
    }
    let mut found = Vec::new();
    for file in files(path)? {
        let name = file.strip_prefix(path).unwrap_or(&file);
        let name = name.to_string_lossy().into_owned();
        found.push((name, mode(&file)?, read(&file, &mut left)?));
    }
    if found.is_empty() {
        return Err("the folder is empty".to_owned());
    }
    zipped(found).map_err(|error| error.to_string())
}

/// The files below a folder, in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let told = |error: std::io::Error| error.to_string();
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(told)? {
            let entry = entry.map_err(told)?;
            match entry.file_type().map_err(told)?.is_dir() {
                true => folders.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    found.sort();
    Ok(found)
}

fn mode(path: &Path) -> Result<u32, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    // Whether it is a program is all that matters to Lambda.
    Ok(match metadata.permissions().mode() & 0o111 {
        0 => 0o644,
        _ => 0o755,
    })
}

fn read(path: &Path, left: &mut u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(*left + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    *left = left
        .checked_sub(bytes.len() as u64)
        .ok_or_else(|| "it is larger than the 250 MiB of a function".to_owned())?;
    Ok(bytes)
}

fn zipped(
    files: impl IntoIterator<Item = (String, u32, Vec<u8>)>,
) -> zip::result::ZipResult<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, mode, bytes) in files {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default())
            .unix_permissions(mode);
        archive.start_file(name, options)?;
        archive.write_all(&bytes)?;
    }
    Ok(archive.finish()?.into_inner())
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "
Resources:
  Packed: {Type: AWS::Lambda::Function, Properties: {Code: packed.zip}}
  Folder: {Type: AWS::Lambda::Function, Properties: {Code: folder}}
  Inline: {Type: AWS::Lambda::Function, Properties: {Code: {ZipFile: 'x'}}}
  Queue: {Type: AWS::SQS::Queue}
";

    #[test]
    fn what_lies_on_this_machine_is_packed_and_always_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("packed.zip"), b"PK\x03\x04rest").unwrap();
        fs::create_dir_all(path("folder/below")).unwrap();
        fs::write(path("folder/below/data"), "data").unwrap();
        fs::write(path("folder/bootstrap"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(path("folder/bootstrap"), PermissionsExt::from_mode(0o700)).unwrap();
        let artefacts = Artefacts::read(TEMPLATE, folder.path()).unwrap();
        let [packed, made] = artefacts.packages.as_slice() else {
            panic!("{artefacts:?}");
        };
        assert_eq!(
            (packed.id.as_str(), packed.bytes.as_slice()),
            ("Packed", &b"PK\x03\x04rest"[..])
        );
        let mut archive = zip::ZipArchive::new(Cursor::new(&made.bytes)).unwrap();
        let names: Vec<String> = archive
            .file_names()
            .map(|name| name.unwrap().into_owned())
            .collect();
        assert_eq!(names, ["below/data", "bootstrap"]);
        let mode = archive.by_name("bootstrap").unwrap().unix_mode().unwrap();
        assert_eq!(mode & 0o777, 0o755);
        let again = Artefacts::read(TEMPLATE, folder.path()).unwrap();
        assert_eq!(again.packages[1].bytes, made.bytes);

        let places = [("Packed".to_owned(), "b".to_owned(), "k".to_owned())];
        let packaged: serde_json::Value =
            serde_json::from_str(&artefacts.packaged(&places)).unwrap();
        let code = &packaged["Resources"]["Packed"]["Properties"]["Code"];
        assert_eq!(code, &json!({"S3Bucket": "b", "S3Key": "k"}));
    }

    #[test]
    fn what_is_not_there_is_named_with_its_function() {
        let folder = tempfile::tempdir().unwrap();
        let error = Artefacts::read(TEMPLATE, folder.path()).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("Packed") && text.contains("packed.zip"),
            "{text}"
        );
    }
}
