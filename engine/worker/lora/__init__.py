"""Low-rank adapters (Hu et al. 2021), any number per request, mixed per row of a batch.

names.py     what layers are called elsewhere, and which model a file was made for
reading.py   a .safetensors file in kohya's, diffusers' or PEFT's naming → Lora, checked against the model
layers.py    what a plain LoRA or a DoRA does to one layer
products.py  LoHa and LoKr
bypass.py    what a layer answers, plus what each row's LoRAs add to it
store.py     LoraStore: each read once, for as long as somebody holds it
"""
