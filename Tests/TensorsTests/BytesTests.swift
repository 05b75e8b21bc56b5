import IngotSystem
import IngotTensors
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Slices, mappings, files: what readers and writers stand on.
@Suite struct BytesTests {
  /// A path nobody else uses.
  private func path(_ name: String) -> String { "/tmp/ingot-tensors-\(getpid())-\(name)" }

  @Test func slicesShareAndKeepTheirBounds() {
    let bytes = Bytes(Array(0..<100))
    let slice = bytes[10..<50][5..<20]
    #expect(slice.count == 15 && slice.array == Array(15..<30) && slice[0] == 15)
    #expect(slice.span.byteCount == 15 && slice[15..<15].count == 0)
    #expect(slice.span.littleEndian(UInt32.self, at: 1) == 0x1312_1110)
    #expect(Bytes.empty.array == [] && Bytes([]).span.byteCount == 0)
  }

  @Test func filesAreWrittenAndMapped() throws {
    let path = path("mapped")
    defer { Folder.remove(path) }
    let file = try File(creating: path)
    try file.preallocate(10_000)
    try file.write([1, 2, 3], at: 9_990)
    #expect(try file.size() == 10_000)
    let mapping = try Bytes.mapping(path)
    #expect(mapping.count == 10_000 && mapping[9_989..<9_993].array == [0, 1, 2, 3])
    mapping[5_000..<10_000].release()
    #expect(mapping[9_990..<9_993].array == [1, 2, 3])
    #expect(try File(reading: path).read(3, at: 9_991).array == [2, 3, 0])
    #expect(throws: FormatError.self) { try File(creating: path) }
  }

  /// Long pieces go past the page cache where there is such a way; short ones and the rests of long ones do not. What
  /// stands in the file is the same.
  @Test func longPiecesKeepTheirPlaces() throws {
    let path = path("long")
    defer { Folder.remove(path) }
    let content = (0..<3_000_001).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
    let bytes = Bytes(content)
    let aligned = Bytes(overwriting: content.count) { span in
      for index in 0..<span.byteCount {
        span.storeBytes(of: content[index], toByteOffset: index, as: UInt8.self)
      }
    }
    let file = try File(creating: path)
    try file.preallocate(content.count)
    // Cuts on and off the disk's units, long and short pieces, the later ones first.
    let cuts = [0, 1, 70_000, 73_728, 1_073_728, 1_073_729, 2_500_000, content.count]
    for (start, end) in zip(cuts, cuts.dropFirst()).reversed() {
      try file.write((start % 2 == 0 ? bytes : aligned)[start..<end].span, at: start)
    }
    try file.synchronize()
    let mapping = try Bytes.mapping(path)
    #expect(mapping.array == content)
    for (start, end) in [
      (0, content.count), (4096, 1_000_000), (5, 300_000), (2_000_001, content.count), (7, 20),
    ] {
      let slice = mapping[start..<end]
      #expect(slice.isFetchable == (end - start > 262_143))
      #expect(slice.place?.path == path && slice.place?.range == start..<end)
      let copy = try slice.fetched()
      #expect(copy.array == Array(content[start..<end]) && (copy.place == nil) == slice.isFetchable)
    }
    #expect(bytes.place == nil && !bytes.isFetchable)
  }

  @Test func readingPastTheEndIsAnError() throws {
    let path = path("short")
    defer { Folder.remove(path) }
    try File(creating: path).write([1, 2, 3], at: 0)
    let error = #expect(throws: FormatError.self) { try File(reading: path).read(4, at: 0) }
    #expect(error?.path == path && error?.offset == 0 && error?.found == "the end of the file after 3")
    #expect(throws: FormatError.self) { try File(reading: path).read(1, at: 3) }
  }

  @Test func whatIsNoFileIsRefused() throws {
    for path in ["/nonexistent/file", "/tmp", "/dev/null"] {
      let error = #expect(throws: FormatError.self, "\(path)") { try Bytes.mapping(path) }
      #expect(error?.path == path)
    }
    let empty = path("empty")
    defer { Folder.remove(empty) }
    _ = try File(creating: empty)
    #expect(try Bytes.mapping(empty).count == 0)
  }

  @Test func pathsComeApart() {
    let cases = [
      ("a/b", "a", "b"), ("a", ".", "a"), ("/a", "/", "a"), ("/a/b/", "/a", "b"), ("a//", ".", "a"),
      ("/", "/", ""),
      ("./a.ingot", ".", "a.ingot"),
    ]
    for (path, parent, name) in cases {
      #expect(Folder.parent(of: path) == parent, "\(path)")
      #expect(Folder.name(of: path) == name, "\(path)")
    }
  }

  /// A name out of a file cannot drive the terminal that shows an error.
  @Test func errorsShowNoControlCharacters() {
    let hostile = "a\u{1B}[2Jb\u{202E}c\u{85}d\ne\u{2066}f"
    let error = FormatError(path: hostile, tensor: hostile, offset: 7, expected: hostile, found: hostile)
    let text = error.description
    #expect(!text.unicodeScalars.contains { $0.value < 0x20 || (0x7F..<0xA0).contains($0.value) })
    #expect(!text.unicodeScalars.contains { $0 == "\u{202E}" || $0 == "\u{2066}" })
    #expect(text.contains("\\u{1b}[2Jb\\u{202e}c\\u{85}d\\u{a}e"))
    #expect(printable(String(repeating: "x", count: 500)).count == 401)
    let plain = FormatError(path: "f", tensor: "t", offset: 8, expected: "4 bytes", found: "3")
    #expect(plain.description == "f: tensor 't': byte 8: expected 4 bytes, found 3")
    #expect(FormatError(path: "f", expected: "a", found: "b").description == "f: expected a, found b")
  }
}
