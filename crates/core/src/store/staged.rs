//! New files: whole on the disk before they have a name, and named only if nothing else has that name.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::{StoreError, file::exists};

/// Mode of a file for its owner only.
pub(super) const SECRET: u32 = 0o600;
/// Mode of a file for everyone to read, as far as the umask allows.
pub(super) const PUBLIC: u32 = 0o644;

/// A file whose contents are on the disk and that does not have its name yet. Dropping it removes it.
pub(super) enum Staged {
    /// Without any name: nothing can be left behind, not even by `kill -9` (O_TMPFILE, open(2)).
    #[cfg(target_os = "linux")]
    Unnamed(File),
    /// With a temporary name, where the file system cannot do without.
    Named(NamedTempFile),
}

impl Staged {
    /// Writes the contents to a file in the folder `dir` of `target` and sees them onto the disk.
    pub(super) fn write(
        dir: &Path,
        target: &Path,
        contents: &[u8],
        mode: u32,
    ) -> Result<Self, StoreError> {
        let write = || {
            let staged = Self::create(dir, target, mode)?;
            let mut file = match &staged {
                #[cfg(target_os = "linux")]
                Self::Unnamed(file) => file,
                Self::Named(file) => file.as_file(),
            };
            file.write_all(contents)?;
            file.sync_all()?;
            Ok(staged)
        };
        write().map_err(|source| StoreError::Write {
            path: target.to_owned(),
            source,
        })
    }

    #[cfg(target_os = "linux")]
    fn create(dir: &Path, target: &Path, mode: u32) -> io::Result<Self> {
        use rustix::{
            fs::{Mode, OFlags},
            io::Errno,
        };
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        // Naming the file later goes through /proc, which a bare container may lack.
        if !Path::new(DESCRIPTORS).exists() {
            return Self::create_named(dir, target, mode);
        }
        match rustix::fs::open(dir, flags, Mode::from_raw_mode(mode)) {
            Ok(descriptor) => Ok(Self::Unnamed(descriptor.into())),
            // How kernels and file systems say that they do not know the flag.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {
                Self::create_named(dir, target, mode)
            }
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn create(dir: &Path, target: &Path, mode: u32) -> io::Result<Self> {
        Self::create_named(dir, target, mode)
    }

    fn create_named(dir: &Path, target: &Path, mode: u32) -> io::Result<Self> {
        temporary(dir, target, mode).map(Self::Named)
    }

    /// Neither way replaces or follows what has the name already, be it a link that leads nowhere.
    fn name(self, target: &Path) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Unnamed(file) => {
                use std::os::fd::AsRawFd;

                use rustix::fs::{AtFlags, CWD, linkat};
                let source = format!("{DESCRIPTORS}/{}", file.as_raw_fd());
                linkat(CWD, source, CWD, target, AtFlags::SYMLINK_FOLLOW)?;
                Ok(())
            }
            Self::Named(file) => match file.persist_noclobber(target) {
                Ok(_) => Ok(()),
                Err(error) => Err(error.error),
            },
        }
    }
}

/// A file with a temporary name. The name is hidden, says whose it was if a crash leaves it behind, and ends like the
/// target's: whatever keeps `*.key` out of a repository or a backup keeps it out too.
fn temporary(dir: &Path, target: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let extension = target.extension().unwrap_or_default().to_string_lossy();
    tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .suffix(&format!(".{extension}"))
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(dir)
}

/// Writes a file in place of what has its name: the name always leads to a whole file, the old or the new.
pub(super) fn replace(
    dir: &Path,
    target: &Path,
    contents: &[u8],
    mode: u32,
) -> Result<(), StoreError> {
    Replacement::write(dir, target, contents, mode)?.rename(target, true)
}

/// A file whose contents are on the disk under a temporary name. Dropping it removes it.
pub(super) struct Replacement(NamedTempFile);

impl Replacement {
    /// Writes the contents to a file beside `target`, in the folder `dir`, and sees them onto the disk.
    pub(super) fn write(
        dir: &Path,
        target: &Path,
        contents: &[u8],
        mode: u32,
    ) -> Result<Self, StoreError> {
        let write = || {
            let mut file = temporary(dir, target, mode)?;
            file.write_all(contents)?;
            file.as_file().sync_all()?;
            Ok(Self(file))
        };
        write().map_err(|source| StoreError::Write {
            path: target.to_owned(),
            source,
        })
    }

    /// Gives it its name, taking that from what has it if that is to be.
    pub(super) fn rename(self, target: &Path, replace: bool) -> Result<(), StoreError> {
        let named = match replace {
            true => self.0.persist(target),
            false => self.0.persist_noclobber(target),
        };
        match named {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(StoreError::AlreadyExists {
                    path: target.to_owned(),
                })
            }
            Err(error) => Err(StoreError::Write {
                path: target.to_owned(),
                source: error.error,
            }),
        }
    }
}

#[cfg(target_os = "linux")]
const DESCRIPTORS: &str = "/proc/self/fd";

/// Files that have their names; dropping this takes them away again, unless they are to be kept.
#[derive(Default)]
pub(super) struct Published(Vec<PathBuf>);

impl Published {
    /// Gives a staged file its name, if nothing has that name.
    pub(super) fn add(&mut self, staged: Staged, target: &Path) -> Result<(), StoreError> {
        match staged.name(target) {
            Ok(()) => {
                self.0.push(target.to_owned());
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                exists(target)?; // says what it is, if it is no file
                Err(StoreError::AlreadyExists {
                    path: target.to_owned(),
                })
            }
            Err(source) => Err(StoreError::Write {
                path: target.to_owned(),
                source,
            }),
        }
    }

    /// Leaves the files where they are.
    pub(super) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        for path in &self.0 {
            // The error that led here is the one to report.
            let _ = fs::remove_file(path);
        }
    }
}

/// Sees the names of new files onto the disk.
pub(super) fn sync_directory(dir: &Path) -> Result<(), StoreError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| StoreError::Write {
            path: dir.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    type Create = fn(&Path, &Path, u32) -> io::Result<Staged>;

    /// The way this file system takes, and the way for those that cannot.
    const WAYS: [Create; 2] = [Staged::create, Staged::create_named];

    fn count(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn a_file_gets_its_name_and_mode_either_way_and_leaves_nothing_else() {
        for create in WAYS {
            let dir = tempfile::tempdir().unwrap();
            let target = dir.path().join("a.key");
            create(dir.path(), &target, SECRET)
                .unwrap()
                .name(&target)
                .unwrap();
            let mode = fs::metadata(&target).unwrap().permissions().mode();
            assert_eq!((mode & 0o777, count(dir.path())), (0o600, 1));
        }
    }

    #[test]
    fn what_has_the_name_stays_and_the_staged_file_goes_either_way() {
        for create in WAYS {
            let dir = tempfile::tempdir().unwrap();
            let target = dir.path().join("a.key");
            symlink("nowhere", &target).unwrap();
            let staged = create(dir.path(), &target, SECRET).unwrap();
            let refusal = staged.name(&target).unwrap_err();
            assert_eq!(refusal.kind(), io::ErrorKind::AlreadyExists);
            assert!(target.is_symlink());
            assert_eq!(count(dir.path()), 1);
        }
    }

    #[test]
    fn what_was_published_goes_again_unless_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.key");
        for kept in [false, true] {
            let mut published = Published::default();
            let staged = Staged::write(dir.path(), &target, b"key", SECRET).unwrap();
            published.add(staged, &target).unwrap();
            if kept {
                published.keep();
            } else {
                drop(published);
            }
            assert_eq!(target.exists(), kept);
        }
    }
}
