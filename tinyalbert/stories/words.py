"""The words of the story world: people, settings, things, weather and what can fill a plot.

Everything here is a plain table, so that the world can be read, changed and counted.  `TABLES` names the
rows that a plot may fill its slots from: a plot that needs `dish` binds all columns of one row at once.
Every fourth name is kept back for the test split (`names`).
"""

WOMEN = """Ada Agnes Alma Alice Amara Anna Anya Astrid Bella Bianca Brigit Carla Celia Clara Dalia Daphne Diana
Dora Edith Elena Elsa Emma Esther Eva Fatima Fiona Flora Freya Gemma Greta Hanna Helga Hilda Ida Ines Ingrid
Irena Isla Ivana Jana Jessica Joana Judith Julia Karin Katya Kira Lara Laura Leila Lena Lidia Linda Lotte Lucia
Luna Mabel Magda Maja Mara Marta Matilda Mina Mira Monica Nadia Nell Nina Noemi Nora Olga Olivia Paula Petra
Rachel Ramona Renata Rita Rosa Ruth Sabina Salma Sara Selma Sofia Stella Tamara Tessa Thea Tilda Ulla Ursula
Vera Wanda Yara Yasmin Zelda Zoe""".split()

MEN = """Aaron Abel Adam Albert Alfred Amir Anton Arno Arthur Axel Ben Boris Bruno Carlos Caspar Cyril Daniel
Dario David Dimitri Edgar Edwin Elias Emil Enzo Erik Ernest Ethan Felix Finn Fritz Gabriel George Gilbert Goran
Gustav Hamid Hans Harald Harry Hassan Henry Hector Hugo Igor Isaac Ivan Jakob Jan Jasper Jonas Josef Karim Karl
Kasper Kilian Klaus Kurt Lars Leo Leon Levi Linus Louis Lukas Malik Marco Martin Matteo Max Milo Mohan Nils Noah
Oleg Omar Orson Oscar Otto Owen Pablo Pascal Paul Pavel Peter Philip Rafael Ralf Ravi Remy Robert Roman Rufus
Samir Simon Stefan Sven Tariq Theo Thomas Tobias Ulrich Victor Vincent Walter Xavier Yusuf Zeno""".split()


def names(people, split):
    """The names of one split: every fourth is for the test split alone."""
    return [name for i, name in enumerate(people) if (i % 4 == 3) == (split == "test")]


def _lines(text, parts):
    """Rows of a table written as `a | b | c` on each line."""
    rows = [tuple(cell.strip() for cell in line.split("|")) for line in text.strip().splitlines()]
    assert all(len(row) == parts for row in rows), rows
    return rows


# A setting is the topic of its story.  Places stand with their preposition; spots are where things hide there.
_SETTINGS = """
harbour: sailor, diver, captain, shipwright, ferry pilot, net maker
 at the harbour, on the pier, in the boathouse, at the lighthouse, on the beach, by the sea wall, at the fish market
 compass, lantern, telescope, oar, bucket, ship's bell, sea chart, fishing rod, raincoat, anchor chain, model ship
 under the nets, behind the crates, among the shells, beside the mooring post, below the wet planks, in the seaweed
farm: farmer, shepherd, dairy maid, ploughman, beekeeper, vet
 in the barn, in the hayloft, at the mill, in the meadow, by the duck pond, in the stable, behind the cowshed
 pitchfork, saddle, milk can, straw hat, wheelbarrow, whip, horseshoe, rope, butter churn, feed sack, weather vane
 under the hay, behind the trough, among the turnips, in the mud, beside the gatepost, between two bales
bakery: baker, pastry cook, miller, waiter, grocer, tea merchant
 in the bakery, at the counter, in the kitchen, in the pantry, at the coffee house, in the cellar, at the tea shop
 rolling pin, cake tin, apron, recipe book, teapot, bread knife, copper kettle, sugar bowl, cookie jar, whisk, tray
 under the flour sacks, behind the oven, among the jars, on the top shelf, inside the bread bin, below the sink
school: teacher, pupil, librarian, caretaker, headmaster, music teacher
 at school, in the classroom, in the playground, in the library, in the gym, in the cloakroom, at the bus stop
 satchel, pencil case, atlas, notebook, ruler, globe, fountain pen, lunch box, football, skipping rope, dictionary
 under the desk, behind the blackboard, among the coats, in the bottom drawer, beneath a bench, inside the piano
workshop: carpenter, smith, potter, glassblower, clockmaker, tailor
 in the workshop, at the forge, in the shed, in the attic, in the timber yard, at the kiln, in the paint store
 hammer, chisel, toolbox, pocket watch, ladder, vase, sewing box, oil lamp, music box, mirror, paintbrush
 under the workbench, behind the anvil, among the shavings, inside a boot, between the planks, on the window sill
forest: ranger, woodcutter, hunter, charcoal burner, mushroom picker, bird watcher
 in the forest, at the log cabin, in the clearing, by the stream, in the cave, at the waterfall, on the wooden bridge
 axe, rucksack, walking stick, map, whistle, blanket, flask, bow, mushroom basket, hammock, field guide
 under the ferns, behind a stump, among the roots, in a hollow tree, beneath the moss, beside an anthill
market: merchant, greengrocer, cobbler, juggler, weaver, money changer
 at the market, in the square, at the fountain, in the town hall, under the arches, at the inn, on the corner
 scarf, purse, umbrella, carpet, silver ring, necklace, basket, weighing scale, handkerchief, velvet hat, cloak
 under a stall, behind the barrels, among the cabbages, beside the steps, inside a flowerpot, between the cobbles
theatre: actor, dancer, violinist, painter, clown, stage hand
 at the theatre, on the stage, in the dressing room, in the balcony, at the box office, in the museum
 violin, trumpet, drum, mask, costume, flute, picture frame, wig, fan, puppet, song book
 under the curtain, behind the scenery, among the costumes, below the trapdoor, inside a trunk, beside the harp
garden: gardener, florist, plum grower, botanist, park keeper, nurse
 in the garden, in the orchard, in the greenhouse, on the lawn, by the rose bed, at the summer house, in the park
 watering can, spade, rake, flowerpot, deck chair, bird house, seed box, garden hose, kite, swing, garden gnome
 under the hedge, behind the compost heap, among the tulips, beneath the lilac, beside the sundial, in the tall grass
mountain: climber, mountain guide, goatherd, skier, hermit, cheese maker
 in the valley, at the summit, at the mountain hut, on the glacier, at the spring, on the ridge, at the chapel
 ice pick, sledge, ski pole, woollen cap, tent, thermos, rope ladder, snow shovel, alpine horn, headlamp
 under the snow, behind a boulder, among the thistles, beneath a ledge, beside the cairn, in a crack of the rock
village: doctor, tinker, priest, innkeeper, barber, chimney sweep
 in the village, at the church, at the well, in the smithy, on the green, at the crossroads, by the canal
 bicycle, photo album, candlestick, chess set, clock, birdcage, walking cane, jug, key ring, quilt, accordion
 under the stairs, behind the stove, among the nettles, inside the chimney, beside the doorstep, beneath a loose tile
railway: conductor, engineer, porter, station master, postman
 at the station, on the platform, in the waiting room, at the ticket office, in the tunnel, in the freight yard
 suitcase, timetable, railway lamp, ticket punch, travel bag, hat box, parcel, signal flag, guitar, typewriter
 under the seat, behind the luggage, among the letters, beside the rails, inside the mail bag, below the platform
"""


def _settings(text):
    table, lines = {}, [line for line in text.strip().splitlines()]
    for head, places, things, spots in zip(*[iter(lines)] * 4):
        topic, jobs = head.split(":")
        split = [[cell.strip() for cell in row.split(",")] for row in (jobs, places, things, spots)]
        table[topic] = dict(zip(("jobs", "places", "things", "spots"), split))
    return table


SETTINGS = _settings(_SETTINGS)
TOPICS = sorted(SETTINGS)

LOOKS = """red blue green yellow purple orange brown grey white black pink golden silver old new big small heavy
painted striped spotted dusty shiny worn plain fancy battered polished scratched crooked faded""".split()

GLAD = "glad happy delighted pleased overjoyed proud cheerful relieved thrilled content merry grateful".split()
SAD = "sad upset unhappy miserable gloomy disappointed bitter hurt heartbroken cross downcast sorry".split()

WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
DAY_PARTS = [("in", "early morning"), ("before", "breakfast"), ("in", "morning"), ("at", "noon"), ("after", "lunch"),
             ("in", "afternoon"), ("before", "supper"), ("at", "sunset"), ("in", "evening"), ("before", "midnight")]

# The weather goes round in this order; each kind of weather has its own few signs.
WEATHERS = {
    "rain": [["The sky was [clear|blue] and the sun [shone|blazed].", "It was a [bright|warm|dry], [sunny|still] day."],
             ["[Dark|Heavy] clouds [gathered|drifted in].", "The wind [rose|freshened] and the sky turned dark."],
             ["The first drops of rain fell.", "It began to rain."],
             ["Rain [poured|drummed] on the roofs.", "Thunder [rolled|cracked] and the rain fell harder."],
             ["The rain [stopped|ended] and the clouds broke up.", "A rainbow came out as the rain stopped."]],
    "snow": [["The air was [cold|crisp] and [clear|dry].", "Frost [glittered|sparkled] on every [window|twig]."],
             ["The sky grew [white|heavy] and smelled of snow.", "Grey snow clouds [hung|gathered] low."],
             ["The first snowflakes fell.", "It began to snow."],
             ["Snow lay deep on every [roof|road].", "A snowstorm [howled|raged] and nobody could see the path."],
             ["The snow [melted|thawed] and ran into the drains.", "A mild wind turned the snow to slush."]],
    "fog": [["One could see for [miles|hours of walking].", "There was not a breath of mist."],
            ["Mist [rose|crept] from the water.", "A thin haze [settled|spread] over the ground."],
            ["Fog [rolled in|closed in] and hid everything.", "The mist thickened into [dense|thick] fog."],
            ["The fog was so thick that lamps were lit.", "People called to each other through the fog."],
            ["The sun broke through and the fog [lifted|thinned].", "A breeze [blew|swept] the fog away."]],
}

TABLES = {
    ("dish", "part", "part2"): _lines("""onion soup | onions | stock
        apple pie | apples | cinnamon
        egg custard | eggs | milk
        fish stew | fish | leeks
        mushroom omelette | mushrooms | eggs
        pea soup | peas | ham
        plum cake | plums | sugar
        lentil curry | lentils | ginger
        potato salad | potatoes | chives
        cheese pie | cheese | dough
        roast chicken | a chicken | thyme
        rice pudding | rice | cream
        cherry tart | cherries | pastry
        vegetable pasta | tomatoes | basil
        pumpkin bread | pumpkin | yeast
        bean stew | beans | bacon
        honey pudding | honey | butter
        nut loaf | walnuts | raisins""", 3),
    ("animal", "cry", "bait"): _lines("""dog | barked | a bone
        cat | mewed | a saucer of cream
        goat | bleated | a carrot
        pony | neighed | an apple
        goose | honked | a crust of bread
        donkey | brayed | a turnip
        parrot | screeched | a ripe fig
        lamb | bleated | warm milk
        puppy | whined | a sausage
        hen | clucked | a handful of corn
        calf | lowed | fresh clover
        rabbit | squeaked | a lettuce leaf""", 3),
    ("thief",): _lines("magpie\njackdaw\nmonkey\nfox\nraven\nseagull\nstray dog\nbilly goat\nferret\nraccoon", 1),
    ("illness", "remedy"): _lines("""fever | willow bark tea
        bad cough | thyme syrup
        cold | hot lemon water
        headache | peppermint oil
        sore throat | sage and honey
        toothache | clove oil
        chill | garlic drops
        stomach ache | camomile tea
        rash | oat cream
        swollen knee | arnica cream""", 2),
    ("contest", "drill"): _lines("""boat race | rowed up and down
        sack race | hopped round the yard
        spelling contest | spelled long words aloud
        chess tournament | studied old games
        archery contest | shot at a straw target
        singing contest | sang scales
        dance contest | practised the steps
        swimming race | swam against the current
        riddle contest | learned riddles by heart
        cooking contest | tried one sauce after another
        kite contest | flew paper kites
        ski race | waxed both skis
        arm wrestling match | lifted heavy stones
        egg-and-spoon race | balanced eggs on a spoon
        quiz | read one encyclopedia after another
        bicycle race | pedalled up the steepest hill""", 2),
    ("skill", "slip"): _lines("""to swim | swallowed water
        to juggle | dropped every ball
        to whistle | made only a hiss
        to knit | tangled the wool
        to skate | slipped on the ice
        to carve spoons | split the wood
        to bake bread | burned the crust
        to tie a bowline | ended with a knot in the wrong place
        to waltz | trod on every toe
        to play chess | lost the queen at once
        to paint birds | smudged the wings
        to make cheese | let the milk boil over
        to ride a unicycle | fell into a bush
        to sew buttons | pricked a thumb
        to play the cello | broke a string
        to walk on stilts | tumbled into the mud
        to blow glass | cracked the bottle
        to milk a goat | knocked the pail over
        to speak Latin | mixed up all the endings
        to shuffle cards | scattered them over the floor""", 2),
    ("thing", "stuff", "stuff2"): _lines("""raft | logs | twine
        tree house | boards | nails
        snow hut | blocks of snow | a shovel
        stone wall | stones | clay
        bookcase | oak panels | glue
        footbridge | beams | bolts
        kennel | old doors | hinges
        bread oven | bricks | mortar
        fence | posts | wire
        canoe | birch bark | pitch
        windmill | sailcloth | poles
        hen house | planks | mesh
        rocking horse | pine wood | varnish
        bonfire | branches | straw
        wigwam | hazel rods | canvas
        dovecote | slates | lime
        puppet stage | cardboard | ribbon
        sundial | a slab of marble | a bronze pin""", 3),
    ("crop", "pest"): _lines("""beans | slugs
        tomatoes | beetles
        pumpkins | mice
        carrots | rabbits
        sunflowers | crows
        strawberries | snails
        potatoes | worms
        melons | hedgehogs
        radishes | caterpillars
        cabbages | pigeons
        barley | sparrows
        grapes | wasps
        pears | starlings
        maize | badgers""", 2),
    ("chore", "chored"): _lines("""water the plants | watered the plants
        feed the hens | fed the hens
        sweep the yard | swept the yard
        wash the windows | washed the windows
        oil the gate | oiled the gate
        carry the firewood | carried the firewood
        paint the door | painted the door
        lock the shed | locked the shed
        polish the silver | polished the silver
        clean the chimney | cleaned the chimney
        empty the bins | emptied the bins
        peel the potatoes | peeled the potatoes
        beat the carpets | beat the carpets
        iron the shirts | ironed the shirts
        fill the lamps | filled the lamps
        stack the chairs | stacked the chairs""", 2),
    ("ride", "block"): _lines("""on foot | A fallen tree lay across the road
        by cart | A wheel came off the cart
        by bicycle | The front tyre went flat
        by ferry | The ferry could not leave in the strong current
        by coach | The horses refused to cross the ford
        by sledge | A deep drift blocked the pass
        by train | The engine broke down on the line
        by bus | The bus ran out of petrol
        by boat | The boat began to leak
        on horseback | The bridge had been washed away
        by balloon | The balloon drifted the wrong way
        by motorcycle | The chain snapped on the steepest slope""", 2),
    ("feast", "treat"): _lines("""wedding | almond cake
        birthday party | chocolate cake
        harvest feast | roast corn
        picnic | cold lemonade
        concert | spiced punch
        house warming | fresh rolls
        christening | sweet wine
        farewell dinner | grilled trout
        midsummer dance | strawberry jam
        lantern parade | ginger bread
        anniversary | raspberry ice
        tea party | cucumber sandwiches""", 2),
    ("harm", "cure"): _lines("""the roof | tiles and tar
        the cellar wall | cement
        the skylight | putty and glass
        the front door | felt strips
        the loft hatch | a sheet of tin
        the porch | shingles
        the kitchen window | wax and rags
        the chimney stack | lead and mortar""", 2),
    ("trade", "blunder"): _lines("""painter | spilled a tin of paint
        messenger | took the wrong turning
        cashier | miscounted the coins
        night watchman | fell asleep at midnight
        kitchen helper | salted the jam
        bell ringer | rang an hour early
        stable hand | left the gate open
        lamplighter | ran out of matches
        tour guide | forgot half of the dates
        bookbinder | glued two pages together
        window cleaner | knocked over the pail
        tram driver | missed a stop""", 2),
    ("sight", "cause"): _lines("""strange light | a glow-worm
        knocking sound | a loose shutter
        white shape | a sheet on the line
        deep groan | an old bellows
        trail of feathers | a torn pillow
        row of footprints | a pair of snowshoes
        smell of smoke | a burnt sausage
        flickering shadow | a moth in the lamp
        whispering voice | the wind in the reeds
        rattling noise | a hedgehog in a tin
        pair of bright eyes | a tame owl
        ghostly tune | a wind chime""", 2),
}
