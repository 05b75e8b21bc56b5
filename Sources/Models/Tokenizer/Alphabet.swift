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
    // Between two neighbouring cuts all code points lie in the same sets.
    let cuts = Set(sets.flatMap { $0.ranges.flatMap { [$0.lowerBound, $0.upperBound + 1] } } + [0]).sorted()
    members = [UInt8](repeating: 0, count: sets.count << 8)
    for set in sets.indices { members[set << 8 | Int(Self.inside)] = 1 }

    var atomOfSignature: [[Bool]: UInt8] = [:]
    var full = [UInt8](repeating: 0, count: Int(CodePoints.last) + 1)
    for (index, cut) in cuts.enumerated() where cut <= CodePoints.last {
      let signature = sets.map { $0.contains(cut) }
      let atom: UInt8
      if let known = atomOfSignature[signature] {
        atom = known
      } else {
        if atomOfSignature.count == 254 { return nil }
        atom = UInt8(atomOfSignature.count)
        atomOfSignature[signature] = atom
        for (set, holds) in signature.enumerated() where holds { members[set << 8 | Int(atom)] = 1 }
      }
      let end = index + 1 < cuts.count ? min(Int(cuts[index + 1]), full.count) : full.count
      for value in Int(cut)..<end { full[value] = atom }
    }

    short = Array(full[..<0x800])
    pages = []
    atoms = []
    var pageOf: [[UInt8]: UInt16] = [:]
    for start in stride(from: 0, to: full.count, by: 256) {
      let page = Array(full[start..<start + 256])
      if let known = pageOf[page] {
        pages.append(known)
      } else {
        let number = UInt16(pageOf.count)
        pageOf[page] = number
        pages.append(number)
        atoms += page
      }
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
