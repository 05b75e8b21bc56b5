/// Maps code points to atoms: two code points share an atom when no set of the pattern tells them apart.
///
/// A text becomes one atom per byte, the atom of a code point standing at its first byte and `inside` at the
/// others, so positions in the atoms are byte offsets and every set is a table of 256 flags.
struct Alphabet: Sendable {
  /// Stands at the second and later bytes of a code point; a member of every set, so a run runs over it.
  static let inside: UInt8 = 255

  /// The atom of each of the first 2,048 code points: those of one or two bytes.
  private var short: [UInt8]
  /// For each 256 code points, which page of `atoms` holds theirs; equal pages are held once.
  private var pages: [UInt16]
  private var atoms: [UInt8]
  /// `members[set << 8 | atom]` is 1 if the atom is in the set.
  private(set) var members: [UInt8]

  /// - Returns: nil if the sets cut Unicode into more than 254 atoms.
  init?(sets: [CodePoints]) {
    members = [UInt8](repeating: 0, count: sets.count << 8)
    for set in sets.indices { members[set << 8 | Int(Self.inside)] = 1 }

    // Between two neighbouring cuts all code points lie in the same sets.
    let ends = sets.flatMap { $0.ranges.flatMap { [Int($0.lowerBound), Int($0.upperBound) + 1] } }
    let count = Int(CodePoints.last) + 1
    let cuts = Set(ends + [0, count]).sorted().dropLast()
    var atomOfSignature: [[Bool]: UInt8] = [:]
    var atomOfCut: [UInt8] = []
    var nextRange = [Int](repeating: 0, count: sets.count)
    var signature = [Bool](repeating: false, count: sets.count)
    for cut in cuts {
      for (set, points) in sets.enumerated() {
        while nextRange[set] < points.ranges.count, points.ranges[nextRange[set]].upperBound < cut {
          nextRange[set] += 1
        }
        signature[set] =
          nextRange[set] < points.ranges.count && points.ranges[nextRange[set]].lowerBound <= cut
      }
      let atom = atomOfSignature[signature] ?? UInt8(atomOfSignature.count)
      if atom == 254 { return nil }
      atomOfSignature[signature] = atom
      for (set, holds) in signature.enumerated() where holds { members[set << 8 | Int(atom)] = 1 }
      atomOfCut.append(atom)
    }

    short = []
    pages = []
    atoms = []
    var pageOf: [[UInt8]: UInt16] = [:]
    var uniformPage: [UInt8: UInt16] = [:]
    var interval = 0
    for start in stride(from: 0, to: count, by: 256) {
      func end(of interval: Int) -> Int { interval + 1 < cuts.count ? cuts[interval + 1] : count }
      while end(of: interval) <= start { interval += 1 }
      let isUniform = end(of: interval) >= start + 256
      if isUniform, start >= 0x800, let known = uniformPage[atomOfCut[interval]] {
        pages.append(known)
        continue
      }
      var page: [UInt8] = []
      var inner = interval
      while page.count < 256 {
        let length = min(end(of: inner), start + 256) - start - page.count
        page += [UInt8](repeating: atomOfCut[inner], count: length)
        inner += 1
      }
      if start < 0x800 { short += page }
      let number = pageOf[page] ?? UInt16(pageOf.count)
      if pageOf.updateValue(number, forKey: page) == nil { atoms += page }
      if isUniform { uniformPage[atomOfCut[interval]] = number }
      pages.append(number)
    }
  }

  /// The atoms of `text`, which is well-formed UTF-8 (it comes out of a `String`).
  func atoms(of text: [UInt8]) -> [UInt8] {
    var result = [UInt8](repeating: Self.inside, count: text.count)
    var at = 0
    while at < text.count {
      let lead = text[at]
      if lead < 0x80 {
        result[at] = short[Int(lead)]
        at += 1
        continue
      }
      let length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
      var value = Int(lead) & (0x7F >> length)
      for next in at + 1..<min(at + length, text.count) { value = value << 6 | Int(text[next] & 0x3F) }
      if value < short.count {
        result[at] = short[value]
      } else if value <= Int(CodePoints.last) {
        result[at] = atoms[Int(pages[value >> 8]) << 8 | value & 0xFF]
      }
      at += length
    }
    return result
  }
}
