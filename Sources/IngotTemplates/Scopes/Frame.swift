/// Where in a template the compiler is.
struct Frame {
  var symbols: Symbols
  /// The function whose variables these are; `symbols` further out may be of another.
  var function: FunctionLayout
  /// Whether what is set here can be seen by blocks.
  var isTopLevel = false
  /// Directly within a condition, an unknown filter is an error only if it is used.
  var isSoft = false
  /// Whether `break` and `continue` have a loop to go out of.
  var isInLoop = false
  /// How much of the stack the open expressions and statements of this function take, in parts of some 350
  /// bytes.
  var nesting = 0

  /// A scope within, of the same function.
  func inner() -> Frame {
    var frame = self
    frame.symbols = Symbols(level: symbols.level + 1, parent: symbols, function: function)
    frame.isTopLevel = false
    frame.isSoft = false
    frame.nesting += 3
    return frame
  }

  /// A scope within that is a function of its own.
  func innerFunction() -> Frame {
    var frame = self
    frame.function = FunctionLayout(parent: function)
    frame.symbols = Symbols(level: symbols.level + 1, parent: symbols, function: frame.function)
    frame.isTopLevel = false
    frame.isSoft = false
    frame.isInLoop = false
    frame.nesting = 2
    return frame
  }

  /// The inside of a condition.
  func soft() -> Frame {
    var frame = self
    frame.isSoft = true
    frame.nesting += 2
    return frame
  }

  /// The inside of an expression.
  func deeper(_ parts: Int = 1) -> Frame {
    var frame = self
    frame.nesting += parts
    return frame
  }

  /// The place of a name that the symbols know.
  func place(_ name: String, _ line: Int) throws(Fault) -> Scope.Place {
    guard let variable = symbols.find(name) else {
      throw Fault(expected: "a name that is known where it stands", found: "'\(name)'", line: line)
    }
    return function.place(variable)
  }

  /// What happens where this scope begins and ends.
  var entry: ScopeEntry {
    var loads: [(place: Scope.Place, load: ScopeEntry.Load)] = []
    var places: [Scope.Place] = []
    for (variable, load) in symbols.loads {
      let place = function.place(variable)
      places.append(place)
      switch load {
      case .parameter: break
      case .resolve(let name): loads.append((place, .resolve(name)))
      case .alias(let outer): loads.append((place, .copy(function.place(outer))))
      case .undefined: loads.append((place, .undefined))
      }
    }
    return ScopeEntry(loads: loads, places: places)
  }
}
