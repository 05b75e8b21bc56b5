import IngotKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Begins the program anew when its BLAS takes the processor for another one and could do better: up to twice as fast.
///
/// A type that the user has set in the environment stays. Costs some milliseconds, once, before anything was read.
func restartWithBetterBLAS() {
  #if os(Linux)
    let variable = "OPENBLAS_CORETYPE"
    guard unsafe getenv(variable) == nil, let core = betterBLASCore() else { return }
    unsafe setenv(variable, core, 1)
    // Comes back only when it fails; then the slower kernels do.
    unsafe _ = execv("/proc/self/exe", CommandLine.unsafeArgv)
  #endif
}
