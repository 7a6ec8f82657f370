"""The words of the world: what each thing, colour, place, time, weather and medium may be called.

A word that comes twice in a row of synonyms is the commoner one.
"""

from __future__ import annotations

Words = dict[str, tuple[str, ...]]

SUBJECT_WORDS: Words = {
    "sailboat": ("sailboat", "sailboat", "sailing boat", "boat", "yacht", "sailing ship"),
    "house": ("house", "house", "cottage", "hut", "home"),
    "castle": ("castle", "castle", "fortress", "palace"),
    "lighthouse": ("lighthouse",),
    "tree": ("tree", "tree", "oak tree"),
    "flower": ("flower", "flower", "blossom", "bloom"),
    "mushroom": ("mushroom", "mushroom", "toadstool"),
    "cat": ("cat", "cat", "kitten", "kitty"),
    "fish": ("fish",),
    "bird": ("bird", "bird", "songbird"),
    "butterfly": ("butterfly",),
    "car": ("car", "car", "automobile", "vintage car"),
    "rocket": ("rocket", "rocket", "rocket ship", "spaceship"),
    "balloon": ("hot air balloon", "hot-air balloon", "balloon"),
    "umbrella": ("umbrella", "umbrella", "parasol"),
    "teapot": ("teapot", "teapot", "kettle"),
    "dog": ("dog", "dog", "puppy"),
    "rabbit": ("rabbit", "rabbit", "bunny", "hare"),
    "fox": ("fox",),
    "bear": ("bear", "bear", "teddy bear"),
    "horse": ("horse", "horse", "pony"),
    "elephant": ("elephant",),
    "dragon": ("dragon",),
    "owl": ("owl",),
    "penguin": ("penguin",),
    "duck": ("duck", "duck", "duckling"),
    "turtle": ("turtle", "turtle", "tortoise"),
    "snail": ("snail",),
    "whale": ("whale",),
    "frog": ("frog", "frog", "toad"),
    "octopus": ("octopus",),
    "crab": ("crab",),
    "ladybug": ("ladybug", "ladybug", "ladybird", "beetle"),
    "cactus": ("cactus",),
    "pumpkin": ("pumpkin",),
    "apple": ("apple",),
    "windmill": ("windmill",),
    "tent": ("tent",),
    "train": ("train", "train", "locomotive", "steam train"),
    "bus": ("bus", "bus", "double-decker bus"),
    "airplane": ("airplane", "airplane", "plane", "aeroplane", "aircraft"),
    "robot": ("robot", "robot", "android"),
    "guitar": ("guitar",),
    "clock": ("clock", "clock", "alarm clock"),
    "chair": ("chair", "chair", "armchair"),
    "cup": ("cup", "cup", "mug", "coffee cup"),
    "crown": ("crown",),
    "bell": ("bell",),
    "kite": ("kite",),
    "gift": ("gift", "gift", "present", "gift box"),
}
# The plural of the first word; only these come in twos and threes.
PLURALS: dict[str, str] = {
    **{subject: f"{words[0]}s" for subject, words in SUBJECT_WORDS.items()},
    "fish": "fish",
    "butterfly": "butterflies",
    "fox": "foxes",
    "octopus": "octopuses",
    "cactus": "cactuses",
    "bus": "buses",
}
COLOUR_WORDS: Words = {
    "red": ("red", "red", "red", "crimson", "scarlet"),
    "orange": ("orange", "orange", "tangerine"),
    "yellow": ("yellow", "yellow", "lemon yellow", "golden"),
    "green": ("green", "green", "green", "emerald"),
    "blue": ("blue", "blue", "blue", "azure"),
    "purple": ("purple", "purple", "violet"),
    "pink": ("pink", "pink", "rosy"),
    "white": ("white", "white", "snow-white"),
    "black": ("black", "black", "jet black"),
    "brown": ("brown", "brown", "chestnut brown"),
}
SETTING_WORDS: Words = {
    "sea": (
        *("on a calm sea", "on the sea", "at sea", "by the sea", "on the ocean", "in the ocean"),
        *("at the seaside", "on the water"),
    ),
    "meadow": ("in a meadow", "on a meadow", "in a green field", "in the grass", "among wildflowers"),
    "desert": ("in the desert", "in a desert", "in a sandy desert", "among sand dunes", "in the dunes"),
    "mountains": (
        *("in the mountains", "in front of mountains", "in front of snowy mountains", "among snowy peaks"),
        *("in the alps", "in front of snowy peaks"),
    ),
    "forest": ("in a forest", "in the forest", "in the woods", "among fir trees", "in a pine forest"),
    "city": (
        *("in the city", "in a city", "in front of skyscrapers", "on a city street", "in town", "downtown"),
    ),
    "beach": ("on the beach", "on a beach", "on a sandy beach", "under palm trees", "on a tropical beach"),
    "village": ("in a village", "in the village", "in front of a village", "in a small village"),
    "volcano": ("in front of a volcano", "by a volcano", "near a volcano", "below an erupting volcano"),
    "farm": ("on a farm", "in a wheat field", "in the wheat", "in golden fields", "on the farm"),
}
SETTING_TAGS: Words = {
    "sea": ("sea", "ocean", "calm sea", "seaside"),
    "meadow": ("meadow", "green field", "grass"),
    "desert": ("desert", "sand dunes", "dunes"),
    "mountains": ("mountains", "snowy mountains", "alps"),
    "forest": ("forest", "woods", "pine forest"),
    "city": ("city", "skyline", "city street"),
    "beach": ("beach", "sandy beach", "palm trees"),
    "village": ("village", "small village"),
    "volcano": ("volcano", "erupting volcano"),
    "farm": ("farm", "wheat field", "golden fields"),
}
TIME_WORDS: Words = {
    "dawn": ("at dawn", "at dawn", "at sunrise", "in the early morning", "in the morning"),
    "day": ("by day", "at noon", "in daylight", "during the day", "at midday"),
    "sunset": (
        *("at sunset", "at sunset", "at dusk", "in the evening", "at golden hour", "under an evening sky"),
    ),
    "night": ("at night", "at night", "by night", "in the moonlight", "at midnight"),
}
TIME_TAGS: Words = {
    "dawn": ("dawn", "sunrise", "early morning"),
    "day": ("day", "daylight", "noon"),
    "sunset": ("sunset", "dusk", "golden hour", "evening"),
    "night": ("night", "moonlight", "midnight"),
}
WEATHER_WORDS: Words = {
    "clear": ("under a clear sky", "in clear weather", "in fine weather"),
    "cloudy": ("under a cloudy sky", "in cloudy weather", "under heavy clouds", "on a cloudy day"),
    "rain": ("in the rain", "in the rain", "in heavy rain", "on a rainy day", "in a rain shower"),
    "snow": ("in the snow", "in falling snow", "while it snows", "in snowfall", "on a snowy day"),
    "fog": ("in fog", "in the fog", "in the mist", "in thick fog", "on a foggy day"),
    "storm": ("in a thunderstorm", "in a storm", "under lightning", "on a stormy day"),
    "rainbow": ("under a rainbow", "with a rainbow", "in front of a rainbow"),
}
WEATHER_TAGS: Words = {
    "clear": ("clear sky", "clear weather"),
    "cloudy": ("cloudy", "cloudy sky", "clouds"),
    "rain": ("rain", "heavy rain", "rainy"),
    "snow": ("snow", "falling snow", "snowfall"),
    "fog": ("fog", "mist", "foggy"),
    "storm": ("thunderstorm", "storm", "lightning"),
    "rainbow": ("rainbow", "rainbow in the sky"),
}
STYLE_TAGS: Words = {
    "watercolor": ("watercolor", "watercolor", "watercolour", "watercolor painting", "aquarelle"),
    "oil": ("oil painting", "oil painting", "oil on canvas", "impasto", "oil"),
    "pixel": ("pixel art", "pixel art", "pixelated", "8-bit", "retro game art"),
    "comic": ("comic", "comic book style", "cartoon", "pop art", "comic style"),
    "paper": ("paper cutout", "paper cut-out", "papercut", "cut paper", "paper collage", "paper art"),
    "pencil": ("colored pencil", "coloured pencil", "pencil drawing", "crayon drawing", "pencil sketch"),
    "glass": ("stained glass", "stained glass", "stained-glass window", "stained glass window"),
    "points": ("pointillism", "pointillism", "pointillist painting", "painted in dots"),
    "woodcut": ("woodcut", "woodcut", "linocut", "woodblock print", "engraving"),
    "flat": ("flat illustration", "vector art", "flat design", "minimalist poster"),
}
STYLE_OPENINGS: Words = {
    "watercolor": ("a watercolor of", "a watercolor painting of", "a watercolour of", "an aquarelle of"),
    "oil": ("an oil painting of", "oil painting of", "an impasto painting of"),
    "pixel": ("pixel art of", "a pixel art picture of", "8-bit pixel art of"),
    "comic": ("a comic of", "a cartoon of", "a comic book drawing of", "pop art of"),
    "paper": ("a paper cutout of", "a papercut of", "a paper collage of", "cut paper art of"),
    "pencil": ("a pencil drawing of", "a colored pencil drawing of", "a crayon drawing of"),
    "glass": ("stained glass of", "a stained glass window of", "a stained glass picture of"),
    "points": ("a pointillist painting of", "pointillism of"),
    "woodcut": ("a woodcut of", "a linocut of", "a woodblock print of", "an engraving of"),
    "flat": ("a flat illustration of", "vector art of", "a minimalist poster of"),
}
STYLE_ENDINGS: Words = {
    "watercolor": ("in watercolor", "painted in watercolors", "in watercolor style"),
    "oil": ("in oil", "painted in oil", "as an oil painting"),
    "pixel": ("in pixel art style", "as pixel art", "in 8-bit"),
    "comic": ("in comic style", "as a cartoon", "in comic book style"),
    "paper": ("made of paper", "cut from paper", "as a paper cutout"),
    "pencil": ("drawn in colored pencil", "in pencil", "drawn with crayons"),
    "glass": ("in stained glass", "made of stained glass", "as a stained glass window"),
    "points": ("in pointillism", "in pointillist style", "made of dots"),
    "woodcut": ("as a woodcut", "as a linocut", "in woodcut style"),
    "flat": ("in flat design", "as vector art", "in flat style"),
}
# Some words of older versions stay known, so that no prompt that was read is unread now.
SIZES = (
    *("small", "little", "big", "large", "tiny", "lone", "pretty", "beautiful", "lovely", "cute", "old"),
    *("single", "charming", "happy"),
)
OPENINGS = (
    *("a picture of", "an image of", "a drawing of", "a painting of", "an illustration of", "picture of"),
    "a scene with",
)
PRAISE = (
    *("beautiful", "masterpiece", "high quality", "highly detailed", "detailed", "colorful", "colourful"),
    *("lovely", "soft light"),
)
NUMBERS = {2: "two", 3: "three"}
# How two figures stand: {0} is the left or the upper one.
ROW_OF_TWO = (
    *("{0} left of {1}", "{0} to the left of {1}", "{0} on the left and {1} on the right"),
    *("{1} right of {0}", "{1} to the right of {0}", "{0} next to {1}", "{0} beside {1}"),
    *("{0} and {1}", "{0} and {1}", "{0} with {1}"),
)
COLUMN_OF_TWO = ("{0} above {1}", "{0} above {1}", "{0} over {1}", "{1} below {0}", "{1} under {0}")
ROW_OF_THREE = ("{0}, {1} and {2}", "{0}, {1} and {2}", "{1} between {0} and {2}", "{0} beside {1} and {2}")
MISC = ("the", "there", "is", "sunny", "sunshine", "starry", "stars", "night", "sky", "of", "with")
