//! The folder of a report: prepared before the run, filled after it.
//!
//! Called by the runner. Whatever can be wrong with the place shows before the first request, not
//! after the last. Nothing that is not a report of ours is ever written over or removed.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::model::Tool;
use crate::clock::Timestamp;

/// Where reports land unless a folder is named.
pub const DEFAULT_PARENT: &str = "reports";

/// Every file that a report's folder may hold. A folder with any other is taken for somebody
/// else's and is not used again.
pub const REPORT_FILES: [&str; 8] = [
    "report.json",
    "report.html",
    "summary.md",
    "gates.junit.xml",
    "timeseries.csv",
    "operations.csv",
    "response_time.hlog",
    "scenario.yaml",
];

/// What a folder may hold that holds two reports and their comparison.
const PAIR_HOLDS: [&str; 4] = ["real", "virtual", "validation.json", "validation.md"];

/// The mark of a folder that holds a report of ours.
const MARK: &str = "report.json";
/// What a file is called until it is complete; what a killed run may leave behind.
const UNFINISHED_PREFIX: &str = ".cachestorm-";
const UNFINISHED_SUFFIX: &str = ".tmp";
/// Runs of one scenario that may begin in the same second.
const SAME_NAME_MAX: u32 = 1_000;
const NAME_BYTES_MAX: usize = 80;

/// A folder that cannot take a report, or a file that cannot be written into it.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It does not exist and cannot be made.
    #[error(
        "the report's folder {path} cannot be made: {source}; name another with --out",
        path = .path.display()
    )]
    Create {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is something else of that name.
    #[error(
        "{path} is a file, and the report needs a folder; name another with --out",
        path = .path.display()
    )]
    NotAFolder {
        /// What is in the way.
        path: PathBuf,
    },
    /// It holds files that are not a report's.
    #[error(
        "{path} holds files of somebody else ({found}); name an empty or new folder with --out",
        path = .path.display()
    )]
    Foreign {
        /// Which folder.
        path: PathBuf,
        /// One of the files, or what is missing.
        found: String,
    },
    /// It exists and cannot be written or read.
    #[error(
        "the report's folder {path} cannot be used: {source}; \
         check its permissions, or name another with --out",
        path = .path.display()
    )]
    Unusable {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Too many runs of the same name in the same second.
    #[error(
        "{path} and {SAME_NAME_MAX} names like it are taken; name another with --out",
        path = .path.display()
    )]
    Taken {
        /// The first name tried.
        path: PathBuf,
    },
    /// A name that would end up elsewhere.
    #[error("{name:?} is no plain name of a file")]
    BadName {
        /// The name.
        name: String,
    },
    /// One file of the report could not be written.
    #[error("{path} cannot be written: {source}", path = .path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A folder that is there, can be written and holds nothing but what this run writes.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Whether it was not there before.
    new: bool,
}

impl Folder {
    /// The folder that the user named with `--out`, or else a new one in [`DEFAULT_PARENT`].
    ///
    /// # Errors
    /// If there is no such folder in the end, or if it is not ours to write.
    pub fn prepare(
        out: Option<&Path>,
        scenario: &str,
        started_at: Timestamp,
    ) -> Result<Self, FolderError> {
        match out {
            Some(path) => Self::named(path),
            None => Self::new_in(Path::new(DEFAULT_PARENT), scenario, started_at),
        }
    }

    /// A new folder `<scenario>-<UTC time>` in `parent`, with `-2`, `-3` … if that name is taken.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new_in(
        parent: &Path,
        scenario: &str,
        started_at: Timestamp,
    ) -> Result<Self, FolderError> {
        make_all(parent)?;
        let name = folder_name(scenario, started_at);
        for attempt in 1..=SAME_NAME_MAX {
            let path = match attempt {
                1 => parent.join(&name),
                _ => parent.join(format!("{name}-{attempt}")),
            };
            // Made without looking first: of two runs that begin at once, only one gets the name.
            match fs::create_dir(&path) {
                Ok(()) => return Self::checked(path, true),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(FolderError::Create { path, source }),
            }
        }
        Err(FolderError::Taken {
            path: parent.join(name),
        })
    }

    /// The folder `path`: made if it is not there, taken if it is empty, and cleared if all it
    /// holds is an earlier report. That one goes at once, so that a run which dies leaves nobody
    /// else's verdict behind.
    ///
    /// # Errors
    /// If it cannot be made or written, or if it holds anything but a report.
    pub fn named(path: &Path) -> Result<Self, FolderError> {
        let new = !path.exists();
        make_all(path)?;
        let folder = Self::checked(path.to_owned(), new)?;
        folder.clear()?;
        Ok(folder)
    }

    /// The folder that the user named, or else a new one in [`DEFAULT_PARENT`], to hold the folders of
    /// two reports, and what was found when they were compared.
    ///
    /// # Errors
    /// If there is no such folder in the end, or if it holds anything else.
    pub fn prepare_pair(
        out: Option<&Path>,
        name: &str,
        started_at: Timestamp,
    ) -> Result<Self, FolderError> {
        let Some(path) = out else {
            return Self::new_in(Path::new(DEFAULT_PARENT), name, started_at);
        };
        let new = !path.exists();
        make_all(path)?;
        let pair = Self::checked(path.to_owned(), new)?;
        let unusable = |source| FolderError::Unusable {
            path: path.to_owned(),
            source,
        };
        for entry in fs::read_dir(path).map_err(unusable)? {
            let found = entry.map_err(unusable)?.file_name();
            let found = found.to_string_lossy().into_owned();
            if !PAIR_HOLDS.contains(&&*found) && !is_unfinished(&found) {
                return Err(FolderError::Foreign {
                    path: path.to_owned(),
                    found,
                });
            }
        }
        Ok(pair)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the file called `name` is, or will be.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes one file: under another name first, so that nobody ever reads half of it.
    ///
    /// # Errors
    /// If it cannot be written, or if `name` is more than a name.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, FolderError> {
        if Path::new(name)
            .file_name()
            .is_none_or(|plain| plain != name)
        {
            return Err(FolderError::BadName {
                name: name.to_owned(),
            });
        }
        let path = self.file(name);
        let written = unfinished_in(&self.path).and_then(|mut file| {
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        });
        match written {
            Ok(()) => Ok(path),
            Err(source) => Err(FolderError::Write { path, source }),
        }
    }

    /// Removes the folder if it was made for this run and nothing was written into it: for a run
    /// that never began.
    pub fn give_up(self) {
        if self.new {
            // The system refuses to remove a folder that is not empty, and so it should.
            let _ = fs::remove_dir(self.path);
        }
    }

    fn checked(path: PathBuf, new: bool) -> Result<Self, FolderError> {
        match unfinished_in(&path) {
            Ok(_) => Ok(Self { path, new }),
            Err(source) => Err(FolderError::Unusable { path, source }),
        }
    }

    fn clear(&self) -> Result<(), FolderError> {
        let unusable = |source| FolderError::Unusable {
            path: self.path.clone(),
            source,
        };
        let foreign = |found| FolderError::Foreign {
            path: self.path.clone(),
            found,
        };
        let mut ours = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(unusable)? {
            let entry = entry.map_err(unusable)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !is_ours(&name) || !entry.file_type().map_err(unusable)?.is_file() {
                return Err(foreign(name));
            }
            ours.push(name);
        }
        // A lone scenario.yaml may well be the user's own: only the mark makes it a report's.
        let finished: Vec<_> = ours.iter().filter(|name| !is_unfinished(name)).collect();
        if !finished.is_empty() && !is_report(&self.file(MARK)) {
            return Err(foreign(format!("{}, without our {MARK}", finished[0])));
        }
        // The mark goes last: what a kill leaves half cleared is still known as ours.
        ours.sort_by_key(|name| name == MARK);
        for name in ours {
            fs::remove_file(self.file(&name)).map_err(unusable)?;
        }
        Ok(())
    }
}

/// `adr-006-20261123T074500Z`, safe as a folder's name everywhere.
fn folder_name(scenario: &str, started_at: Timestamp) -> String {
    let mut name = String::new();
    for letter in scenario.chars() {
        let letter = if letter.is_ascii_alphanumeric() || "._-".contains(letter) {
            letter
        } else {
            '-'
        };
        if name.len() < NAME_BYTES_MAX && !(letter == '-' && name.ends_with('-')) {
            name.push(letter);
        }
    }
    let name = match name.trim_matches(['-', '.']) {
        "" => "run",
        name => name,
    };
    let time = started_at.to_string().replace(['-', ':'], "");
    format!("{name}-{time}")
}

fn make_all(path: &Path) -> Result<(), FolderError> {
    if let Some(file) = path.ancestors().find(|part| part.is_file()) {
        return Err(FolderError::NotAFolder {
            path: file.to_owned(),
        });
    }
    let create = |source| FolderError::Create {
        path: path.to_owned(),
        source,
    };
    fs::create_dir_all(path).map_err(create)
}

fn is_unfinished(name: &str) -> bool {
    name.starts_with(UNFINISHED_PREFIX) && name.ends_with(UNFINISHED_SUFFIX)
}

fn is_ours(name: &str) -> bool {
    REPORT_FILES.contains(&name) || is_unfinished(name)
}

/// Whether a `report.json` of any version of ours is at `path`.
fn is_report(path: &Path) -> bool {
    #[derive(Deserialize)]
    struct Head {
        tool: Tool,
    }
    fs::read(path)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Head>(&bytes).ok())
        .is_some_and(|head| head.tool.name == env!("CARGO_PKG_NAME"))
}

/// A file that removes itself unless it is given its name.
fn unfinished_in(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED_PREFIX).suffix(UNFINISHED_SUFFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any other program would: the umask decides who may read, not tempfile's secrecy.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests;
