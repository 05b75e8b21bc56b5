import IngotFormats
import IngotModels
import IngotSystem
import IngotTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A reader under test: gets bytes, may throw FormatError, must do nothing else.
struct Target {
  var name: String
  /// Made once, when the target is chosen.
  var start: () throws -> (_ input: [UInt8]) throws(FormatError) -> Void
  /// Makes lengths and checksums right after a mutation: the number of bytes then, at most `limit`.
  var repair: (_ data: UnsafeMutableBufferPointer<UInt8>, _ size: Int) -> Int = { $1 }

  static var all: [Target] { texts + files + quantizations + plans + serving }
}

nonisolated(unsafe) private var run: (_ input: [UInt8]) throws(FormatError) -> Void = { _ in }
nonisolated(unsafe) private var repair: (UnsafeMutableBufferPointer<UInt8>, Int) -> Int = { $1 }

@_cdecl("ingot_fuzz_select")
public func select(_ name: UnsafePointer<CChar>) -> Int32 {
  guard let target = Target.all.first(where: { $0.name == String(cString: name) }) else { return 0 }
  do {
    run = try target.start()
  } catch {
    print("\(target.name): \(error)")
    return 0
  }
  repair = target.repair
  return 1
}

@_cdecl("ingot_fuzz_run")
public func runOne(_ data: UnsafePointer<UInt8>?, _ size: Int) {
  do throws(FormatError) {
    try run(Array(UnsafeBufferPointer(start: data, count: size)))
  } catch {
    // A name out of a file must not drive the terminal that the message is shown on.
    for byte in error.description.utf8 {
      precondition(byte >= 0x20 && byte != 0x7F, "a control character in an error: \(error)")
    }
  }
}

@_cdecl("ingot_fuzz_repair")
public func repairOne(_ data: UnsafeMutablePointer<UInt8>, _ size: Int, _ limit: Int) -> Int {
  repair(UnsafeMutableBufferPointer(start: data, count: limit), size)
}

/// A file in memory that is written over for each input.
final class Scratch {
  let path: String
  private let descriptor: Int32

  /// A folder of this process's own.
  static let folder: String = {
    // Readers refuse symbolic links out of a folder, so this is a plain one.
    let root = Folder.kind("/dev/shm") == .folder ? "/dev/shm" : "/tmp"
    let path = root + "/ingot-fuzz-\(getpid())"
    mkdir(path, 0o755)
    atexit { Folder.remove(Scratch.folder) }
    return path
  }()

  init(_ name: String) {
    path = Scratch.folder + "/" + name
    mkdir(Folder.parent(of: path), 0o755)
    descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    precondition(descriptor >= 0, "no file \(path)")
  }

  func write(_ bytes: [UInt8]) { write(bytes[...], length: bytes.count) }

  /// Nothing is mapped any more when this is called: the last input's model is gone.
  func write(_ bytes: ArraySlice<UInt8>, length: Int) {
    let written = bytes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
    precondition(written == bytes.count && ftruncate(descriptor, off_t(length)) == 0, "no room in \(path)")
  }
}

/// Reads what a model promises: the planes of its tensors, and values of small ones.
func touch(_ model: Model) throws(FormatError) {
  _ = ModelSummary(model)
  var left = 1 << 14
  for tensor in model.tensors where tensor.count > 0 && tensor.bytes + 4 * tensor.count <= left {
    left -= tensor.bytes + 4 * tensor.count
    var sum: UInt8 = 0
    for plane in try tensor.planes() where plane.count > 0 { sum ^= plane[0] ^ plane[plane.count - 1] }
    if tensor.encoding.isDecodable { _ = try tensor.floats() }
    _ = sum
  }
}
