/// Texts by their bytes, to find all that begin at a place.
struct PieceTrie: Sendable {
  /// Edges by `node << 8 | byte`, in a table that is at most half full; -1 marks a free place.
  private var keys: [Int]
  private var nodes: [Int32]
  private var bits: Int
  /// Per node the number of the text that ends there, or -1.
  private var ends: [Int32] = [-1]

  init() {
    bits = 6
    keys = [Int](repeating: -1, count: 1 << bits)
    nodes = [Int32](repeating: 0, count: 1 << bits)
  }

  var isEmpty: Bool { ends.count == 1 }

  /// Where an edge stands, or would.
  private func place(_ key: Int) -> Int {
    var place = Int((UInt64(key) &* 0x9E37_79B9_7F4A_7C15) >> UInt64(64 - bits))
    while keys[place] >= 0, keys[place] != key { place = (place + 1) & ((1 << bits) - 1) }
    return place
  }

  private mutating func grow() {
    let old = zip(keys, nodes).filter { $0.0 >= 0 }
    bits += 1
    keys = [Int](repeating: -1, count: 1 << bits)
    nodes = [Int32](repeating: 0, count: 1 << bits)
    for (key, node) in old {
      let place = place(key)
      keys[place] = key
      nodes[place] = node
    }
  }

  mutating func insert(_ text: [UInt8], _ id: Int32) {
    var node = 0
    for byte in text {
      let key = node << 8 | Int(byte)
      var place = place(key)
      if keys[place] < 0 {
        if ends.count * 2 >= keys.count {
          grow()
          place = self.place(key)
        }
        keys[place] = key
        nodes[place] = Int32(ends.count)
        ends.append(-1)
      }
      node = Int(nodes[place])
    }
    ends[node] = id
  }

  /// Calls `body` with each text that `bytes` has at `start`, shorter ones first, and where it ends.
  func each(in bytes: [UInt8], at start: Int, _ body: (_ id: Int32, _ end: Int) -> Void) {
    var node = 0
    var at = start
    while at < bytes.count {
      let place = place(node << 8 | Int(bytes[at]))
      if keys[place] < 0 { return }
      node = Int(nodes[place])
      at += 1
      if ends[node] >= 0 { body(ends[node], at) }
    }
  }

  /// The number of exactly these bytes.
  func id(of bytes: ArraySlice<UInt8>) -> Int32? {
    var node = 0
    for byte in bytes {
      let place = place(node << 8 | Int(byte))
      if keys[place] < 0 { return nil }
      node = Int(nodes[place])
    }
    return ends[node] >= 0 ? ends[node] : nil
  }

  /// The longest text that `bytes` has at `start`.
  func longest(in bytes: [UInt8], at start: Int) -> (id: Int32, end: Int)? {
    var found: (Int32, Int)?
    each(in: bytes, at: start) { found = ($0, $1) }
    return found
  }
}
