"""How the engine is measured.

step_costs   host time of a tick, and rows per second alone and in company, on one loaded model
"""
