/// Which names a scope knows, and which variable each of them is.
///
/// jinja2 decides this when it compiles a template, by looking through all of a scope before any of it runs.
/// What follows from that is kept: a name that a scope sets somewhere is the scope's own from its start, a
/// loop begins each time with what the names outside hold, and what it sets is gone behind it.
final class Symbols {
  /// Where the value of a variable comes from when its scope is entered.
  enum Load {
    /// It is a parameter or the target of a loop.
    case parameter
    /// From what the template is rendered with.
    case resolve(String)
    /// From a variable further out.
    case alias(Variable)
    case undefined
  }

  let level: Int
  let parent: Symbols?
  let function: FunctionLayout
  /// What this is a branch of a condition in; a branch holds what it adds.
  private let trunk: Symbols?
  /// The variable of each name that is looked up or set here.
  private var variables: [String: Variable] = [:]
  /// In the order in which they came.
  private(set) var loads: [(variable: Variable, load: Load)] = []
  private var places: [Variable: Int] = [:]
  private(set) var stores: Set<String> = []

  /// A variable: a slot in its function. Scopes beside each other share it, as they do in jinja2.
  struct Variable: Hashable {
    let name: String
    let level: Int
    let function: ObjectIdentifier
  }

  init(level: Int, parent: Symbols?, function: FunctionLayout) {
    self.level = level
    self.parent = parent
    self.function = function
    trunk = nil
  }

  private init(branchOf trunk: Symbols) {
    level = trunk.level
    parent = trunk.parent
    function = trunk.function
    self.trunk = trunk
  }

  /// The same names, for a branch of a condition.
  func branch() -> Symbols { Symbols(branchOf: self) }

  private func own(_ name: String) -> Variable? { variables[name] ?? trunk?.own(name) }

  private func isStored(_ name: String) -> Bool { stores.contains(name) || trunk?.isStored(name) ?? false }

  func find(_ name: String) -> Variable? { own(name) ?? parent?.find(name) }

  private func define(_ name: String, _ load: Load) {
    let variable = Variable(name: name, level: level, function: ObjectIdentifier(function))
    variables[name] = variable
    set(variable, load)
  }

  private func set(_ variable: Variable, _ load: Load) {
    if let place = places[variable] {
      loads[place].load = load
    } else {
      places[variable] = loads.count
      loads.append((variable, load))
    }
  }

  func store(_ name: String) {
    if !isStored(name) { stores.insert(name) }
    guard own(name) == nil else { return }
    if let outer = parent?.find(name) { define(name, .alias(outer)) } else { define(name, .undefined) }
  }

  func declareParameter(_ name: String) {
    stores.insert(name)
    define(name, .parameter)
  }

  func load(_ name: String) {
    if find(name) == nil { define(name, .resolve(name)) }
  }

  /// Takes over what branches of a condition have found. A name that only some of them set begins with the
  /// value it has without them.
  func merge(_ branches: [Symbols]) {
    for branch in branches {
      variables.merge(branch.variables) { _, new in new }
      for (variable, load) in branch.loads { set(variable, load) }
    }
    for branch in branches {
      for name in branch.stores where !isStored(name) {
        stores.insert(name)
        guard let variable = find(name) else { continue }
        if let outer = parent?.find(name) {
          set(variable, .alias(outer))
        } else {
          set(variable, .resolve(name))
        }
      }
    }
  }
}

/// The variables of one function: the template, a macro, a block, the body of a recursive loop, the test of a
/// loop.
final class FunctionLayout {
  let parent: FunctionLayout?
  private var slots: [Symbols.Variable: Int] = [:]

  init(parent: FunctionLayout?) { self.parent = parent }

  var count: Int { slots.count }

  private func slot(_ variable: Symbols.Variable) -> Int {
    if let slot = slots[variable] { return slot }
    slots[variable] = slots.count
    return slots.count - 1
  }

  /// Where this function finds a variable of its own or of one further out.
  func place(_ variable: Symbols.Variable) -> Scope.Place {
    var out = 0
    var function = self
    while ObjectIdentifier(function) != variable.function {
      guard let parent = function.parent else {
        preconditionFailure("\(variable.name) is of no function here")
      }
      function = parent
      out += 1
    }
    return Scope.Place(out: out, slot: function.slot(variable))
  }
}
