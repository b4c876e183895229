//! Windows of images in files.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Fills `out` with pieces of `length` bytes that begin at `offset` and lie `step` bytes apart.
///
/// # Errors
/// Of the system; `UnexpectedEof` where the file is shorter.
pub fn read_rows(file: &File, offset: u64, step: u64, length: usize, out: &mut [u8]) -> io::Result<()> {
    if step == length as u64 {
        return file.read_exact_at(out, offset);
    }
    (0..).zip(out.chunks_exact_mut(length.max(1))).try_for_each(|(i, row)| file.read_exact_at(row, offset + i * step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_window_are_read_and_a_short_file_is_told() {
        let path = std::env::temp_dir().join(format!("starnet-read-rows-{}", std::process::id()));
        std::fs::write(&path, (0..100).collect::<Vec<u8>>()).unwrap();
        let file = File::open(&path).unwrap();
        let mut window = [0; 6];
        read_rows(&file, 12, 10, 2, &mut window).unwrap();
        assert_eq!(window, [12, 13, 22, 23, 32, 33]);
        read_rows(&file, 50, 3, 3, &mut window).unwrap();
        assert_eq!(window, [50, 51, 52, 53, 54, 55]);
        for step in [2, 30] {
            let error = read_rows(&file, 95, step, 2, &mut window).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        std::fs::remove_file(&path).unwrap();
    }
}
