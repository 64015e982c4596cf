//! The kit's command line: everything is in the library.

fn main() -> std::process::ExitCode {
    pendant_kit::cli::main()
}
