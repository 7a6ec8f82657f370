"""How the engine is measured.

bench        the engine beside plain diffusers pipelines: `fourfold bench`
mix          the jobs that are asked for, fixed      outcome    how they ended, and figures of many
baseline     diffusers, job by job and in batches    served     the engine through its front door
watch        event loop and memory beside a run      report     table, JSON and plot
simulation, simulation_policies   the scheduler beside FIFO and naive batching, on a model of a device
step_costs   host time of a tick, and rows per second alone and in company, on one loaded model
"""
