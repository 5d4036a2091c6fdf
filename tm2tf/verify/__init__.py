"""Do the weights do what the machine does? Every step is looked at.

`lockstep` runs simulator, interpreter and weights beside each other and compares them;
`locate` names the first layer and feature at which they part; `table_simulator` is the simulator
in compiled form, for runs of millions of steps, itself checked against the reference.
"""
