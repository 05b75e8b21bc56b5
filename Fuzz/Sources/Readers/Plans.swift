import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors

// What plans are made of.
extension Target {
  static var plans: [Target] {
    [
      Target(name: "plan") {
        let model = try tinyModel()
        let file = Scratch("x.plan.json")
        return { input throws(FormatError) in
          file.write(input)
          let read = try PlanFile.read(file.path)
          let plan = try read.plan(for: model, path: file.path)
          // What was read can be written, and says the same then.
          let fresh = PlanFile(plan, format: read.format, for: model)
          file.write(Array(fresh.text.utf8))
          let again = try PlanFile.read(file.path).plan(for: model, path: file.path)
          precondition(again.assignments == plan.assignments, "a plan that changes when it is written")
        }
      },
      Target(name: "sensitivity") {
        let model = try tinyModel()
        let file = Scratch("x.sens")
        return { input throws(FormatError) in
          file.write(input)
          let read = try Sensitivity.read(file.path, for: model)
          let prediction = Prediction(read, format: "ingot")
          let allocation = try Allocation(model, read, .none, candidates: read.candidates) { _ in true }
          for bits in [3, 5] {
            if let found = allocation.solved(tensorBytes: model.parameters * bits / 8, name: "x") {
              _ = prediction.divergence(sum: found.sum)
            }
          }
        }
      },
      Target(name: "machines") {
        let model = try tinyModel()
        let weights = Weights(model, Plan.uniform(model.tensors[0].encoding, for: model))
        let demand = Demand(model.blueprint, weights, context: 64)
        let file = Scratch("machines.yaml")
        return { input throws(FormatError) in
          file.write(input)
          for machine in try Machine.all(adding: file.path) {
            for engine in Engine.allCases {
              _ = demand.fit(engine, machine)
              _ = demand.longestContext(engine, machine)
            }
          }
        }
      },
    ]
  }
}
