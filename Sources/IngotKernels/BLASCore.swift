import CIngotKernels

#if canImport(Glibc)
  import Glibc
#endif
#if !canImport(Accelerate)
  import COpenBLAS
#endif

/// Whether there is address space for the buffers that matrix products take, one for each that runs at a time. OpenBLAS
/// looks for them for ever when there is none.
public func hasBLASMemory(concurrent count: Int) -> Bool {
  #if canImport(Accelerate)
    return true
  #else
    let size = count * (128 << 20)
    let address = unsafe mmap(
      nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let address = unsafe address, unsafe address != MAP_FAILED else { return false }
    unsafe munmap(address, size)
    return true
  #endif
}

/// What matrix products are computed with. Their last bits depend on it.
public func blasName() -> String {
  #if canImport(Accelerate)
    return "Accelerate"
  #else
    let name = unsafe openblas_get_corename()
    return unsafe "OpenBLAS " + (name.map { unsafe String(cString: $0) } ?? "unknown")
  #endif
}

/// The processor type that OpenBLAS should have taken this one for; nil when it did well.
///
/// It chooses when it is loaded, by `OPENBLAS_CORETYPE` in the environment if that is set, so a program can only set
/// that and begin anew.
public func betterBLASCore() -> String? {
  #if canImport(Accelerate)
    return nil
  #else
    guard let taken = unsafe openblas_get_corename(), let better = unsafe ingot_blas_core(taken) else {
      return nil
    }
    return unsafe String(cString: better)
  #endif
}
