//! The rim of this room: the one place where traces are opened and written. Compression is told by the
//! content when reading, and by the name when writing: `.gz`, `.zst`, or none.
//!
//! What is written appears under its name only when it is complete; until then it is a file beside it,
//! which goes when writing fails.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use tempfile::NamedTempFile;

use super::{Malformed, TraceError, TraceFormat, TraceReader};

/// Stands for standard input or output.
pub(super) const STANDARD: &str = "-";

const BUFFER_BYTES: usize = 256 << 10;
const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Opens a trace; lines that cannot be read are errors. `-` is standard input.
///
/// # Errors
/// If it cannot be opened, or its format is neither given nor to be told.
pub fn open(path: &Path, format: Option<TraceFormat>) -> Result<TraceReader, TraceError> {
    open_with(path, format, Malformed::Refuse)
}

/// Opens a trace, and says what is to be done about lines that cannot be read.
///
/// # Errors
/// If it cannot be opened, or its format is neither given nor to be told.
pub fn open_with(
    path: &Path,
    format: Option<TraceFormat>,
    malformed: Malformed,
) -> Result<TraceReader, TraceError> {
    let name = path.display().to_string();
    if path == Path::new(STANDARD) {
        let input = BufReader::with_capacity(BUFFER_BYTES, io::stdin());
        return read("standard input", input, format, malformed);
    }
    let file = File::open(path).map_err(|source| TraceError::Open {
        trace: name.clone(),
        source,
    })?;
    let input = BufReader::with_capacity(BUFFER_BYTES, file);
    read(&name, input, format, malformed)
}

/// Reads `input`, decompressed if need be.
fn read(
    name: &str,
    mut input: impl BufRead + Send + 'static,
    format: Option<TraceFormat>,
    malformed: Malformed,
) -> Result<TraceReader, TraceError> {
    let broken = |source| TraceError::Open {
        trace: name.to_owned(),
        source,
    };
    let beginning = input.fill_buf().map_err(broken)?;
    if beginning.starts_with(GZIP) {
        let plain = BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(input));
        return TraceReader::new(name, plain, format, malformed);
    }
    if beginning.starts_with(ZSTD) {
        let plain = zstd::stream::read::Decoder::with_buffer(input).map_err(broken)?;
        let plain = BufReader::with_capacity(BUFFER_BYTES, plain);
        return TraceReader::new(name, plain, format, malformed);
    }
    let compression = Compression::of(Path::new(name)).suffix();
    match compression {
        Some(suffix) if !beginning.is_empty() => Err(TraceError::NotCompressed {
            trace: name.to_owned(),
            suffix,
        }),
        _ => TraceReader::new(name, input, format, malformed),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// What a name promises.
    fn of(path: &Path) -> Self {
        let suffix = path.extension().map(OsStr::to_ascii_lowercase);
        match suffix.as_ref().and_then(|suffix| suffix.to_str()) {
            Some("gz") => Self::Gzip,
            Some("zst" | "zstd") => Self::Zstd,
            _ => Self::None,
        }
    }

    fn suffix(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some(".gz"),
            Self::Zstd => Some(".zst"),
        }
    }
}

/// A file that is being written, compressed as its name says. It gets its name when it is finished;
/// dropped before, it leaves nothing.
pub struct OutputFile {
    path: PathBuf,
    unfinished: NamedTempFile,
    encoder: Encoder,
}

enum Encoder {
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<File>>),
}

impl std::fmt::Debug for OutputFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OutputFile({})", self.path.display())
    }
}

impl OutputFile {
    /// Begins to write what will be `path`.
    ///
    /// # Errors
    /// If no file can be made there, or something else than a file is there.
    pub fn create(path: &Path) -> Result<Self, TraceError> {
        let failed = |source| failed(path, source);
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            let why = "something else than a plain file has that name";
            return Err(failed(io::Error::other(why)));
        }
        let unfinished = unnamed(path).map_err(failed)?;
        let file = unfinished.reopen().map_err(failed)?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        let encoder = match Compression::of(path) {
            Compression::None => Encoder::Plain(file),
            Compression::Gzip => {
                Encoder::Gzip(GzEncoder::new(file, flate2::Compression::default()))
            }
            Compression::Zstd => {
                let level = zstd::DEFAULT_COMPRESSION_LEVEL;
                Encoder::Zstd(zstd::stream::write::Encoder::new(file, level).map_err(failed)?)
            }
        };
        Ok(Self {
            path: path.to_owned(),
            unfinished,
            encoder,
        })
    }

    /// Where it will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Completes the file and gives it its name; what had that name before is gone.
    ///
    /// # Errors
    /// If the rest cannot be written, or the file cannot get its name.
    pub fn finish(self) -> Result<(), TraceError> {
        let Self {
            path,
            unfinished,
            encoder,
        } = self;
        let flushed = match encoder {
            Encoder::Plain(file) => Ok(file),
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Zstd(encoder) => encoder.finish(),
        };
        let synced = flushed.and_then(|mut file| {
            file.flush()?;
            file.get_ref().sync_all()
        });
        synced.map_err(|source| failed(&path, source))?;
        let named = unfinished.persist(&path);
        named.map_err(|error| failed(&path, error.error))?;
        Ok(())
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.encoder {
            Encoder::Plain(file) => file.write(bytes),
            Encoder::Gzip(encoder) => encoder.write(bytes),
            Encoder::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.encoder {
            Encoder::Plain(file) => file.flush(),
            Encoder::Gzip(encoder) => encoder.flush(),
            Encoder::Zstd(encoder) => encoder.flush(),
        }
    }
}

/// `path` could not be written.
pub(super) fn failed(path: &Path, source: io::Error) -> TraceError {
    TraceError::Write {
        path: path.display().to_string(),
        source,
    }
}

/// A file beside `path`, which goes when it is dropped.
pub(super) fn unnamed(path: &Path) -> io::Result<NamedTempFile> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".cachestorm-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // What the umask leaves of it, as for any other file.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}
