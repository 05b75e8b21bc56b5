import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// What a check of a file's bytes found.
public struct CheckReport: Sendable {
  /// One fault: which tensor or other part of the file, where, and what is wrong.
  public struct Problem: Sendable {
    public var path: String
    public var tensor: String?
    public var offset: UInt64?
    public var what: String

    init(_ error: FormatError) {
      path = error.path
      tensor = error.tensor
      offset = error.offset
      what = "expected \(error.expected), found \(error.found)"
    }
  }

  public var tensors = 0
  /// Bytes that were read and held against something.
  public var bytes = 0
  public var problems: [Problem] = []
  /// What may be meant, and may be not: tensors that are all zero.
  public var warnings: [String] = []
}

extension Format {
  /// Checks everything that can be checked of what stands at `path`: structure, checksums where the format has them,
  /// finite values, zeros where a download broke off. A fault that hides the rest (a broken header) is the only problem then.
  public static func check(_ path: String, workers: Int, progress: (@Sendable (Int) -> Void)? = nil) async
    -> CheckReport
  {
    do throws(FormatError) {
      let format = Format.of(path)
      if format.name == Format.ingot.name {
        return await checkIngot(try IngotFile(path), path, workers, progress)
      }
      return await checkValues(try Model.read(path, .init(keepUnknown: true)), workers, progress)
    } catch {
      return CheckReport(problems: [.init(error)])
    }
  }

  /// Runs `body` for each of `count` items, some at a time, and collects problems in the items' order.
  private static func checkAll(
    _ count: Int, _ workers: Int, _ body: @escaping @Sendable (Int) -> (bytes: Int, faults: [FormatError])
  ) async -> (bytes: Int, problems: [CheckReport.Problem]) {
    await withTaskGroup(of: (Int, Int, [FormatError]).self) { group in
      var faults: [Int: [FormatError]] = [:]
      var bytes = 0
      var next = 0
      func start() {
        guard next < count else { return }
        let index = next
        next += 1
        group.addTask {
          let result = body(index)
          return (index, result.bytes, result.faults)
        }
      }
      for _ in 0..<max(workers, 1) { start() }
      while let (index, read, found) = await group.next() {
        bytes += read
        if !found.isEmpty { faults[index] = found }
        start()
      }
      return (bytes, faults.sorted { $0.key < $1.key }.flatMap { $0.value.map(CheckReport.Problem.init) })
    }
  }

  private static func checkIngot(
    _ file: IngotFile, _ path: String, _ workers: Int, _ progress: (@Sendable (Int) -> Void)?
  ) async -> CheckReport {
    var report = CheckReport()
    let tensors = file.directory.tensors
    // What the family does not know may hold any values.
    var byName: [String: Tensor] = [:]
    for tensor in (try? file.model(path: path, keepUnknown: true))?.tensors ?? []
    where !tensor.role.isOutsideBlocks {
      byName[tensor.name] = tensor
    }
    let values = byName
    let checked = await checkAll(tensors.count, workers) { index in
      let record = tensors[index]
      let (path, bytes) = file.parts[record.part]
      let planes = record.encoding.planes(record.shape)!
      let offsets = IngotLayout.planeOffsets(planes).offsets
      var faults: [FormatError] = []
      for (number, plane) in planes.enumerated() {
        let start = record.offset + offsets[number]
        let content = bytes[start..<start + plane.bytes]
        let sum = XXH3.hash(content.span)
        progress?(plane.bytes)
        if sum != record.checksums[number] {
          faults.append(
            FormatError(
              path: path, tensor: record.name, offset: UInt64(start),
              expected:
                "checksum \(hexadecimal(record.checksums[number])) of its \(plane.bytes) bytes of \(plane.name)",
              found: hexadecimal(sum)))
        }
      }
      if faults.isEmpty, let tensor = values[record.name], let fault = valueFault(tensor) { faults = [fault] }
      bytes[record.offset..<record.offset + record.length].release()
      return (record.length, faults)
    }
    report.tensors = tensors.count
    report.bytes = checked.bytes
    report.problems = checked.problems
    for record in file.directory.files {
      do throws(FormatError) {
        _ = try file.content(record)
        report.bytes += record.storedLength
      } catch {
        report.problems.append(.init(error))
      }
    }
    report.problems += paddingFaults(file).map(CheckReport.Problem.init)
    do throws(FormatError) {
      if report.problems.isEmpty { _ = try file.model(path: path, keepUnknown: true) }
    } catch {
      report.problems.append(.init(error))
    }
    return report
  }

  /// Bytes between the things an artifact holds must be zero, so that every bit of the file is checked.
  private static func paddingFaults(_ file: IngotFile) -> [FormatError] {
    var faults: [FormatError] = []
    for (number, part) in file.parts.enumerated() {
      var used = [(0, IngotLayout.headerSize)]
      if number == 0 {
        used.append((file.header.directoryOffset, file.header.directoryOffset + file.header.directoryLength))
        used += file.directory.files.map { ($0.offset, $0.offset + $0.storedLength) }
      }
      for record in file.directory.tensors where record.part == number {
        let planes = record.encoding.planes(record.shape)!
        for (plane, offset) in zip(planes, IngotLayout.planeOffsets(planes).offsets) {
          used.append((record.offset + offset, record.offset + offset + plane.bytes))
        }
      }
      used.sort { $0 < $1 }
      used.append((part.bytes.count, part.bytes.count))
      var end = 0
      for (start, stop) in used {
        if start > end, let index = part.bytes[end..<start].firstNonZero {
          faults.append(
            FormatError(
              path: part.path, offset: UInt64(end + index), expected: "zeros between tensors",
              found: "byte 0x\(String(part.bytes[end + index], radix: 16))"))
        }
        end = max(end, stop)
      }
    }
    return faults
  }

  /// Decodes every tensor and looks for NaN and infinities.
  private static func checkValues(
    _ model: Model, _ workers: Int, _ progress: (@Sendable (Int) -> Void)?
  ) async -> CheckReport {
    let checked = await checkAll(model.tensors.count, workers) { index in
      let tensor = model.tensors[index]
      guard tensor.encoding.isDecodable else { return (0, []) }
      let fault = valueFault(tensor, progress)
      return (tensor.bytes, fault.map { [$0] } ?? [])
    }
    let zeros = await ZeroRuns.find(in: model.weightFiles, exhaustive: true, workers: workers)
    var hashes: [CheckReport.Problem] = []
    for path in model.weightFiles where RemoteFiles.isRemote(path) {
      do throws(FormatError) {
        _ = try await SourceHashes([path], fetched: []).digests()
      } catch {
        hashes.append(.init(error))
      }
    }
    return CheckReport(
      tensors: model.tensors.count, bytes: checked.bytes,
      problems: zeros.filter(\.isFault).map { .init($0.error) } + checked.problems + hashes,
      warnings: zeros.filter { !$0.isFault }.map(\.warning))
  }
}

/// The first NaN or infinity of a tensor, or why it cannot be decoded.
private func valueFault(_ tensor: Tensor, _ progress: (@Sendable (Int) -> Void)? = nil) -> FormatError? {
  guard tensor.encoding.isDecodable else { return nil }
  for rows in tensor.rowChunks() {
    do throws(FormatError) {
      let values = try tensor.floats(rows: rows)
      // Of a remote file nothing stays in memory.
      if !RemoteFiles.isRemote(tensor.path) { for plane in try tensor.planes(rows: rows) { plane.release() } }
      progress?(tensor.bytes * rows.count / max(tensor.rows, 1))
      if let at = firstNonFinite(values.span) {
        let element = "[\(rows.lowerBound + at / tensor.columns), \(at % tensor.columns)]"
        return tensor.error("finite values", found: "\(values[at]) at element \(element)")
      }
    } catch {
      return error
    }
  }
  return nil
}
