import Synchronization

/// Memory that is handed out again when its user is done: the first touch of fresh pages costs more than most of
/// what is computed on them. Blocks are aligned as direct I/O wants them.
@safe struct RecycledMemory: @unchecked Sendable {
  /// What direct I/O wants offsets, lengths and addresses to be multiples of, on every disk in use.
  static let alignment = 4096
  /// Idle blocks are kept up to this many bytes in all.
  private static let idleLimit = 512 << 20

  let block: UnsafeMutableRawBufferPointer

  private struct Idle {
    var blocks: [Int: [RecycledMemory]] = [:]
    var bytes = 0
  }
  private static let idle = Mutex(Idle())

  /// A block of at least `count` bytes, with whatever its last user left in it.
  static func take(_ count: Int) -> RecycledMemory {
    let size = sizeClass(count)
    let used = idle.withLock { idle -> RecycledMemory? in
      guard let block = idle.blocks[size]?.popLast() else { return nil }
      idle.bytes -= size
      return block
    }
    if let used { return used }
    return unsafe RecycledMemory(block: .allocate(byteCount: size, alignment: alignment))
  }

  /// Hands the block back. Nobody may use it afterwards.
  func giveBack() {
    let size = unsafe block.count
    let kept = RecycledMemory.idle.withLock { idle in
      guard idle.bytes + size <= RecycledMemory.idleLimit else { return false }
      idle.blocks[size, default: []].append(self)
      idle.bytes += size
      return true
    }
    if !kept { unsafe block.deallocate() }
  }

  /// Sizes with three significant bits, so that chunks of nearly the same size share blocks.
  private static func sizeClass(_ count: Int) -> Int {
    let least = max(count, alignment)
    let step = max(1 << max(Int.bitWidth - least.leadingZeroBitCount - 3, 0), alignment)
    return (least + step - 1) / step * step
  }
}
