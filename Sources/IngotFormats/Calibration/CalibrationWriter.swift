import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

extension CalibrationFile {
  /// Where a field stands in a file, and the XXH3-64 of its frames.
  struct Place: Hashable, Sendable {
    var field: LayerStatistics.Field
    var layer: Int
    /// Bytes of the file.
    var range: Range<Int>
    var checksum: UInt64

    var name: String { CalibrationFile.name(field, layer) }
  }

  /// A file being written, layer by layer in order; it appears under its name when all are in it.
  ///
  /// What is kept in between outlives the run: the same command goes on behind it (`notes`, `states`).
  public final class Writer {
    private var output: Output
    private let blueprint: Blueprint
    private let texts: [String]
    /// Metadata beside what describes the statistics: the model, and what the caller gave.
    private let origin: JSONObject
    private let isForImportance: Bool
    private let headerLength: Int
    private var places: [Place] = []
    private var forced: [Int] = []
    private var tokens = 0
    private var contexts: SeenContexts?
    /// How much of `places` has been kept.
    private var keptPlaces = 0
    /// What was kept so far, by this run and earlier ones.
    public private(set) var notes: [JSON] = []
    /// Where the states that go with the last note are.
    private var statesPath: String?

    private var end: Int { places.last?.range.upperBound ?? headerLength }
    /// Layers whose statistics are there.
    public var layers: Int { forced.count }

    /// - Parameters:
    ///   - isForImportance: whether only what importance matrices are made from is kept; a file to be read again has all.
    ///   - origin: further metadata: the tool, the tokenizer.
    ///   - identity: what decides the bytes.
    /// - Throws: FormatError when something stands at `path` and is not to be replaced, or for an unfinished output that
    ///   cannot be continued: of another identity, of another run at work, damaged.
    public init(
      _ path: String, for model: Model, texts: [String],
      isForImportance: Bool = false, origin: [String: String] = [:],
      identity: JSONObject = [:], _ options: WriteOptions = WriteOptions()
    ) throws(FormatError) {
      blueprint = model.blueprint
      self.texts = texts
      self.isForImportance = isForImportance
      var metadata: JSONObject = ["model": .string(CalibrationFile.Origin(model).json.text())]
      for (key, value) in origin.sorted(by: { $0.key < $1.key }) { metadata[key] = .string(value) }
      self.origin = metadata
      let length = Writer.headerLength(blueprint, isForImportance, texts, metadata)
      func begun() throws(FormatError) -> Output {
        try Output(path, parts: [(path, length)], identity: identity, grows: true, options)
      }
      headerLength = length
      output = try begun()
      do throws(FormatError) {
        try restore()
      } catch {
        guard options.force else {
          output.journal.leave()
          throw error
        }
        discard()
        output = try begun()
        (places, forced, notes, keptPlaces, statesPath) = ([], [], [], 0, nil)
      }
    }

    /// Holds the disk's room against what the layers that are not there yet take at most: their statistics as if nothing of them
    /// could be compressed, and twice the hidden states, the old ones staying until the new ones are safe. Nothing is
    /// reserved: the file will be smaller, and grows layer by layer.
    ///
    /// - Parameters:
    ///   - contexts: what the tokens come from, for the file to say.
    ///   - mostForced: routed tokens that may be forced in a layer.
    /// - Throws: FormatError when the disk has less room, with the bytes needed and free.
    public func begin(
      tokens: Int, contexts: SeenContexts? = nil, mostForced: Int = 0
    ) throws(FormatError) {
      self.tokens = tokens
      self.contexts = contexts
      if forced.count == blueprint.layerCount { return }
      var (total, isTooMuch) = tokens.multipliedReportingOverflow(by: 2 * 4 * blueprint.hiddenSize)
      guard !isTooMuch else {
        throw FormatError(
          path: output.path, expected: "statistics that can be counted", found: "\(tokens) tokens")
      }
      for layer in forced.count..<blueprint.layerCount {
        for field in kept(layer, isForced: true) {
          let size = CalibrationFile.packedSize(
            field, blueprint, layer: layer, tokens: tokens, forced: mostForced)
          // What does not shrink grows by a little for each piece.
          let room = size.map { $0 + CompressedField.headLength + (($0 >> 20) + 1) * 1024 + ($0 >> 7) }
          let (sum, overflow) = total.addingReportingOverflow(room ?? 0)
          guard room != nil, !overflow else {
            throw FormatError(
              path: output.path, expected: "statistics that can be counted", found: "\(tokens) tokens")
          }
          total = sum
        }
      }
      try Output.requireRoom(total, output.path)
    }

    private func kept(_ layer: Int, isForced: Bool) -> [LayerStatistics.Field] {
      LayerStatistics.fields(layer: layer, blueprint, isForced: isForced).filter {
        !isForImportance || $0.isForImportance
      }
    }

    /// Appends the statistics of the next layer.
    public func write(_ statistics: LayerStatistics) throws(FormatError) {
      precondition(statistics.layer == forced.count, "layers come in order")
      for field in kept(statistics.layer, isForced: statistics.forcedCount > 0) {
        let bytes = statistics.fields[field]!
        let shape = field.shape(
          blueprint, layer: statistics.layer, tokens: tokens, forced: statistics.forcedCount)
        precondition(
          bytes.count == elementCount(shape)! * field.dtype.bits / 8,
          "\(field.rawValue) of layer \(statistics.layer) has its size")
        let stored = CompressedField(
          field.isSymmetric ? Triangle.pack(bytes, n: shape[0]) : bytes, width: field.dtype.bits / 8)
        let start = end
        try output.files[0].write(stored.head, at: start)
        try output.files[0].write(stored.content.span, at: start + stored.head.count)
        places.append(
          Place(
            field: field, layer: statistics.layer, range: start..<start + stored.count,
            checksum: stored.checksum))
      }
      forced.append(statistics.forcedCount)
    }

    /// Statistics of a layer that is there.
    public func layer(_ layer: Int) throws(FormatError) -> LayerStatistics {
      var statistics = LayerStatistics(layer: layer, tokens: tokens, fields: [:])
      for place in places where place.layer == layer {
        statistics.fields[place.field] = try CalibrationFile.unpack(
          output.files[0].read(place.range.count, at: place.range.lowerBound), place.field, blueprint,
          layer: layer,
          tokens: tokens, forced: forced[layer], wrong: { self.damage(place.name, $0, $1) })
      }
      return statistics
    }

    /// Gives the complete file its name.
    public func commit() throws(FormatError) {
      if !output.isComplete {
        precondition(
          forced.count == blueprint.layerCount && !isForImportance)
        var said: (range: Range<Int>, count: Int)?
        if let contexts {
          let text = Array(contexts.json.text().utf8)
          var bytes = ByteWriter()
          bytes.put(text)
          bytes.put(XXH3.hash(Bytes(text).span))
          try output.files[0].write(bytes.bytes, at: end)
          said = (end..<end + bytes.bytes.count, contexts.count)
        }
        try output.files[0].write(
          Writer.header(
            places, said, tokens: tokens, texts: texts, forced: forced, origin, length: headerLength), at: 0)
      }
      try output.commit()
      removeStates(but: nil)
    }

    public func discard() {
      output.discard()
      removeStates(but: nil)
    }

    /// The run ends with an error. What was kept stays when the same command may get further; the error says so then.
    ///
    /// Layers that are there stay whatever the error was: they are right, they may have taken hours, and a fault of the
    /// machine looks like one of the model's.
    public func abandoned(_ error: FormatError) -> FormatError {
      if error.cause == .content && layers > 0 && !output.isComplete {
        output.journal.leave()
        return error
      }
      let error = output.abandoned(error)
      if !error.isResumable { removeStates(but: nil) }
      return error
    }

    /// The error of a run that was told to stop.
    public var stopped: FormatError {
      var error = FormatError(
        path: output.path, expected: "the run to continue", found: "a request to stop")
      error.cause = .stopped
      return error
    }

    // MARK: Going on

    /// Makes what was written since the last time durable, with what the caller wants to know when the run goes on.
    ///
    /// - Parameter states: hidden states of each context, to go on with; nil when they are not needed any more.
    public func keep(_ note: JSON, states: [[Float]]?) throws(FormatError) {
      let earlier = statesPath
      var record: JSONObject = ["note": note]
      var files = output.files
      if let states {
        let path = "\(output.path)\(Writer.statesSuffix)\(notes.count)"
        files.append(try StatesFile.write(states, to: path))
        try Folder.synchronize(Folder.parent(of: path))
        record["states"] = JSON(notes.count)
        statesPath = path
      } else {
        statesPath = nil
      }
      record["forced"] = .array(forced.map { JSON($0) })
      record["places"] = .array(
        places[keptPlaces...].map { place in
          [
            .string(place.field.rawValue), JSON(place.layer), JSON(place.range.lowerBound),
            JSON(place.range.upperBound), .string(String(place.checksum, radix: 16)),
          ]
        })
      try output.journal.add(.object(record))
      try output.journal.synchronize(files)
      keptPlaces = places.count
      notes.append(note)
      if let earlier { Folder.remove(earlier) }
    }

    /// The states that were kept with the last note, of so many values for each context.
    public func states(counts: [Int]) throws(FormatError) -> [[Float]] {
      guard let statesPath else { preconditionFailure("the last note came with states") }
      return try StatesFile.read(statesPath, counts: counts)
    }

    private static let statesSuffix = ".partial.states."

    private func removeStates(but kept: String?) {
      let folder = Folder.parent(of: output.path)
      let prefix = Folder.name(of: output.path) + Writer.statesSuffix
      for name in (try? Folder.names(folder)) ?? []
      where name.hasPrefix(prefix) && folder + "/" + name != kept {
        if kept.map({ Folder.name(of: $0) }) != name { Folder.remove(folder + "/" + name) }
      }
    }

    private func damage(_ name: String, _ expected: String, _ found: String) -> FormatError {
      FormatError(
        path: output.path + ".partial", tensor: name, expected: expected, found: found,
        remedy: .discard)
    }

    /// Takes up what an earlier run has kept, after a look at every byte of it.
    private func restore() throws(FormatError) {
      for record in output.journal.records {
        guard let note = record["note"] else { continue }
        notes.append(note)
        statesPath = record["states"]?.int.map { "\(output.path)\(Writer.statesSuffix)\($0)" }
        forced = record["forced"]?.array?.compactMap(\.int) ?? []
        for entry in record["places"]?.array ?? [] {
          guard let parts = entry.array, parts.count == 5,
            let layer = parts[1].int, blueprint.layers.indices.contains(layer),
            let field = LayerStatistics.fields(layer: layer, blueprint, isForced: true).first(where: {
              $0.rawValue == parts[0].string
            }),
            let lower = parts[2].int, let upper = parts[3].int, lower == end, lower <= upper,
            let checksum = parts[4].string.flatMap({ UInt64($0, radix: 16) })
          else { throw damage("", "places of statistics in the journal", entry.text()) }
          places.append(Place(field: field, layer: layer, range: lower..<upper, checksum: checksum))
        }
      }
      keptPlaces = places.count
      removeStates(but: statesPath)
      guard let file = output.files.first else { return }
      for place in places {
        guard place.range.count >= CompressedField.headLength, try file.size() >= place.range.upperBound
        else {
          throw damage(place.name, "\(place.range.count) bytes", "less")
        }
        let start = place.range.lowerBound + CompressedField.headLength
        let content = try file.read(place.range.upperBound - start, at: start)
        let found = XXH3.hash(content.span)
        guard found == place.checksum else {
          throw damage(place.name, "checksum \(String(place.checksum, radix: 16))", String(found, radix: 16))
        }
      }
      // What came after was not finished.
      try file.truncate(to: end)
    }

    // MARK: Header

    /// Bytes of the header: enough for whatever places and counts turn out to be.
    private static func headerLength(
      _ blueprint: Blueprint, _ isForImportance: Bool, _ texts: [String], _ origin: JSONObject
    ) -> Int {
      let most = 1 << 52
      var places: [Place] = []
      for layer in 0..<blueprint.layerCount {
        for field in LayerStatistics.fields(layer: layer, blueprint, isForced: true)
        where !isForImportance || field.isForImportance {
          places.append(Place(field: field, layer: layer, range: most..<2 * most, checksum: 0))
        }
      }
      let forced = [Int](repeating: most, count: blueprint.layerCount)
      return header(
        places, (most..<2 * most, most), tokens: most, texts: texts, forced: forced, origin, length: 0
      ).count
    }

    /// Length and JSON, spaces up to `length` bytes in all.
    ///
    /// - Parameter contexts: where the file says which contexts it is of, and how many they are.
    private static func header(
      _ places: [Place], _ contexts: (range: Range<Int>, count: Int)?, tokens: Int, texts: [String],
      forced: [Int], _ origin: JSONObject, length: Int
    ) -> [UInt8] {
      var metadata: JSONObject = [
        "format": .string(CalibrationFile.label), "version": .string(CalibrationFile.version),
        "tokens": .string("\(tokens)"), "layers": .string("\(forced.count)"),
        "texts": .string(JSON.array(texts.map { .string($0) }).text()),
        "forced": .string(JSON.array(forced.map { JSON($0) }).text()),
      ]
      if let contexts { metadata[CalibrationFile.contexts] = .string("\(contexts.count)") }
      for (key, value) in origin { metadata[key] = value }
      var header: JSONObject = ["__metadata__": .object(metadata)]
      func add(_ name: String, _ range: Range<Int>) {
        header[name] = [
          "dtype": "U8", "shape": [JSON(range.count)],
          "data_offsets": [JSON(range.lowerBound - length), JSON(range.upperBound - length)],
        ]
      }
      for place in places { add(place.name, place.range) }
      if let contexts { add(CalibrationFile.contexts, contexts.range) }
      var text = Array(JSON.object(header).text().utf8)
      while text.count + 8 < length || text.count % 8 != 0 { text.append(0x20) }
      var bytes = ByteWriter()
      bytes.put(UInt64(text.count))
      bytes.put(text)
      return bytes.bytes
    }
  }
}
