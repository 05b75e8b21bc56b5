import IngotSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What threads, their stacks and buffers of a small model take, about.
private let leastAddressSpace = 384 << 20

/// Refuses to begin where a limit leaves less address space than threads and buffers take: Swift looks for its threads' stacks
/// for ever, and ends the program where memory is not there.
///
/// - Throws: FormatError that says which limit to raise.
func requireAddressSpace() throws(FormatError) {
  #if os(Linux)
    let address = unsafe mmap(
      nil, leastAddressSpace, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if let address = unsafe address, unsafe address != MAP_FAILED {
      unsafe munmap(address, leastAddressSpace)
      return
    }
    var error = FormatError(
      path: "this process",
      expected: "\(leastAddressSpace >> 20) MiB of address space for threads and buffers",
      found: "less")
    error.cause = .system(ENOMEM)
    throw error
  #endif
}
