"""Plots about things that are lost, lent, broken, traded, given, stolen or sold.

What happens to a thing has consequences.

How to read the table.  `plot` lines say: name | what must hold | steps : steps if it ends well / if it ends badly |
how a later sentence may look back on the good / the bad end.  `?` marks a step that may be left out, `+` ties two
steps together.  A needs `A:o` (A has the object o), `B:x`, `lost` (A lost o, and it lies at P), or the name of a
column in `words.TABLES`.

`step` lines say: name | what happens in plain words, past/base form of the verb | the effect on the world | signs:
`*` a turning point, `+` good, `-` bad news.  Below stand the sentences that tell it; the last of three or more is
kept for the test split.  [a|b] is a choice.  Slots: {A} {B} {C} people (.he .him .his .s .self), {o} {x} objects,
{P} the place of the plot and {Q} any other place, with preposition (.to: "to the mill"), {spot} where things
hide, {glad} and {sad} feelings, and the columns of the tables.
"""

THINGS = """
plot search | A:o | lose miss? look look? ask+tell? : find rejoice? / give_up grieve? | \
With {o} safe again / Still grieving for {o}
plot discover | lost | stumble show? : bring thank? / keep grieve? | With {o} in {A.his} hands again / Without {o}
plot lend | B:o | admire? beg : lend use? restore? thank? / deny grieve? | Fond of {o} as ever / Envious of {o}
plot mend | A:o | crack dismay? take_in examine? : repair fetch / hopeless grieve | With {o} as good as new / \
Mourning the end of {o}
plot trade | A:o B:x | offer examine? : swap rejoice? / decline grieve? | Happy with {x} / With {x} still in mind
plot gift | A:o | birthday wrap? give : delight thank_b? / dislike grieve? | Pleased about the gift / \
Hurt about the gift
plot theft | A:o thief | snatch chase? : recover rejoice? / escape grieve? | Safe from the {thief} / \
Angry with the {thief}
plot sale | A:o | price haggle? : buy rejoice? / unsold grieve? | With a full purse / With an empty purse
plot quarrel | A:o | quarrel silence? mediate? : make_up rejoice? / part grieve? | At peace with {B} / \
Still angry with {B}
plot entrust | A:o | entrust guard? : hand_back thank? / spoil own_up? grieve? | Sure of a true friend / \
Having learned to trust nobody

step lose | {A} lost/lose {o} {P} | o~P | * -
While {A} was [daydreaming|chatting|running about] {P}, {o} slid unseen {spot}.
{A} let {o} slip {spot} {P} and did not notice.
{A} walked home, and {o} stayed behind {P}, half hidden {spot}.
{A} lost {o} {P}, where it lay {spot}.
{A} dropped {o} {P}, and it rolled {spot} without a sound.
step miss | {A} missed/miss {o} | | -
{A} reached for {o} and felt nothing but air.
On the way home {A} saw that {o} was gone.
"Where is {o}?" cried {A}, turning out every pocket.
{A} opened the bag, but {o} was no longer in it.
step look | {A} looked/look for {o} {Q} | | -
{A} [looked|searched|hunted] for {o} {Q}, but it was not there.
{A} turned over everything {Q} in search of {o}.
{A} crawled about {Q} with a [candle|torch] to look for {o}.
{Q}, {A} lifted every [lid|mat|stone] and saw no sign of {o}.
{A} even looked for {o} {Q}, in vain.
step ask | {A} asked/ask {B} about {o} | |
{A} asked {B} [whether|if] anybody had seen {o}.
"Have you seen {o}?" {A} asked {B}.
{A} ran to {B} and described {o} down to the last detail.
{A} told {B} about {o} and begged for help with the search.
step tell | {B} sent/send {A} {P.to} | | +
{B} remembered seeing something {spot} and sent {A} {P.to}.
"Go and look {P}," {B} told {A}.
{B} thought hard, then advised {A} to go {P.to}.
step find | {A} found/find {o} {P} | o>A | * +
{A} found {o} {spot} {P}.
There lay {o}, {spot} {P}, and {A} snatched it up.
Something moved {spot} {P}, and {A} bent down and picked up {o}.
{A} went back {P.to} and saw {o} lying {spot}.
At last {A} found {o} {P}, well hidden {spot}.
step give_up | {A} gave/give up the search for {o} | | * -
{A} gave up the search for {o} when [it grew dark|nothing was left to search].
{A} stopped looking for {o} and walked home [empty-handed|with bowed head].
After [hours|days] of searching, {A} lost all hope of seeing {o} again.
Since there was no trace of {o}, {A} gave up.
step rejoice | {A} felt/feel {glad} | | +
{A} was so {glad} that [a song|a laugh|a whistle] could be heard all over the place.
{A} felt {glad} and [hugged|kissed|greeted] everyone in sight.
"I have never been so {glad}!" said {A}.
{A} [smiled|grinned|hummed] and felt {glad} from head to toe.
{A} went to bed {glad} and slept like a stone.
step grieve | {A} felt/feel {sad} | | -
{A} was so {sad} that [no joke|no song|no cake] could help.
{A} felt {sad} and sat alone [on the stairs|in the dark|by the window].
"I have never been so {sad}," said {A}.
{A} [sighed|sobbed|wept] and felt too {sad} to talk.
{A} went to bed {sad} and lay awake for hours.

step stumble | {B} came/come upon {o} {P} | o>B | *
{B} [stumbled over|stepped on|noticed] {o} {spot} {P}.
{B} was [sweeping|resting|whistling] {P} and saw {o} {spot}.
A [glint|patch of colour] {spot} {P} caught the eye of {B}: it was {o}, which somebody had lost.
{B} looked {spot} {P} by chance, and there was {o}.
step show | {B} showed/show {o} to {C} | |
{B} showed {o} to {C} and asked whose it was.
"Whose is {o}?" {B} asked {C}, holding it up.
{B} held {o} up for {C} to see, but {C.he} did not know the owner.
step bring | {B} returned/return {o} to {A} | o>A | * +
{B} [carried|took] {o} to {A}, who had looked for it everywhere.
{B} knocked at {A.s} door and held out {o}, which had been lost for so long.
{A} opened the door, and there stood {B} with the lost object, {o}.
"Is this yours?" asked {B}, and gave {o} back to {A}.
{A} got {o} back from {B}, who had found it.
step thank | {A} thanked/thank {B} | | +
{A} thanked {B} from the bottom of {A.his} heart.
"How can I ever thank you?" said {A}, and shook hands with {B}.
{A} baked {B} a [cake|pie] to say thank you.
{A} thanked {B} [twice|three times|a hundred times].
step keep | {B} kept/keep {o} | | * -
{B} told nobody and kept {o}.
{B} hid {o} in a [drawer|cupboard|chest] and kept it.
"Finders, keepers," said {B}, and put {o} in {B.his} own bag.
{B} decided to keep {o} without a word to {A}.

step admire | {A} admired/admire {o} | |
{A} could not stop looking at {o}, which belonged to {B}.
{A} had always admired {o} that {B} owned.
"What a [fine|lovely] thing {o} is!" said {A} to {B}.
{A} admired {o} and told {B} so.
step beg | {A} asked/ask {B} for {o} | |
{A} asked {B} for {o}, just for [a day|an hour|a week].
"May I borrow {o}?" {A} asked {B}.
{A} begged {B} for the loan of {o}.
{A} wished to borrow {o} and asked {B}.
step lend | {B} lent/lend {o} to {A} | o>A | * +
{B} nodded and lent {o} to {A}.
"Take good care of it," said {B}, and lent {A} {o}.
{B} could not say no and let {A} borrow {o}.
{A} got {o} from {B} on loan.
step use | {A} used/use {o} {P} | | +
{A} [used|tried out] {o} {P} from [morning|dawn] to [night|dusk].
{A} took {o} {P.to} and made good use of it.
Everyone {P} [stared|wondered] as {A} used {o}.
step restore | {A} gave/give {o} back to {B} | o>B | * +
{A} brought {o} back to {B}, just as agreed.
{A} [cleaned|dusted] {o} and returned it to {B}.
"Here it is again," said {A}, and gave {o} back to {B}.
{B} got {o} back from {A}, none the worse for wear.
step deny | {B} denied/deny {A} {o} | | * -
{B} shook {B.his} head and would not let {A} have {o}.
"You may not touch {o}," {B} told {A}.
{B} held on to {o} and sent {A} away.
{B} refused to lend {A} {o}.

step crack | {A} broke/break {o} {P} | | * -
{A} tripped {P}, and {o} broke with a [crack|snap].
{A} leaned too hard on {o} {P}, and it came apart.
{A} dropped {o} {P}, and it broke.
{o} fell from {A.s} hands {P} and broke.
{A} broke {o} {P} by being careless.
step dismay | {A} cried/cry over {o} | | -
{A} picked up what was left of {o} and [cried|sniffed|groaned].
"Oh no, {o} is broken!" wailed {A}.
{A} stared at the broken parts of {o}, close to tears.
step take_in | {A} took/take {o} to {B} | |
{A} wrapped up what was left of {o} and took it to {B}.
{A} asked {B} whether {o} could be repaired.
"Can you repair {o}?" {A} asked {B}.
{A} brought the broken parts of {o} to {B}.
step examine | {B} examined/examine {o} | |
{B} put on {B.his} glasses and examined {o} from all sides.
{B} turned {o} over and over and [hummed|frowned|muttered].
{B} held {o} up to the light and took a close look.
{B} took {o} and examined every inch of it.
step repair | {B} repaired/repair {o} | | * +
{B} repaired {o} with [glue|wire|two tiny screws].
{B} worked all night until {o} was whole again.
In the hands of {B}, {o} was soon as good as new.
{B} found a spare part and repaired {o}.
step fetch | {A} fetched/fetch {o} from {B} | o>A | +
{A} paid {B} [three coins|a fair price] and took {o} home, repaired.
{A} fetched {o} from {B} and could not see where it had been broken.
{A} came to {B} for {o} and paid the bill.
step hopeless | {B} failed/fail to repair {o} | o! | * -
{B} tried [glue|wire|everything], but {o} could not be repaired.
"I am afraid nobody can repair {o}," {B} told {A}.
{o} fell apart again, and {B} could do no more.
{B} gave up, for {o} was beyond repair.

step offer | {A} offered/offer {B} {o} for {x} | |
{A} offered {B} {o} in exchange for {x}.
"Will you give me {x} for {o}?" {A} asked {B}.
{A} held out {o} and pointed at {x}, which belonged to {B}.
{A} wanted {x} so much that {A.he} offered {B} {o} for it.
step swap | {A} traded/trade {o} for {x} | o>B x>A | * +
They shook hands on it: {B} got {o} and {A} got {x}.
{A} and {B} traded, and {A} walked off with {x} and {B} with {o}.
{B} took {o}, and from that moment {x} belonged to {A}.
{A} traded {o} for {x}, and {B} was content.
step decline | {B} refused/refuse to part with {x} | | * -
{B} laughed at the offer and would not part with {x}.
"I would never give away {x}," said {B}.
{B} thought about it, but {o} was not worth {x}.
{B} kept {x} and wanted nothing to do with {o}.

step birthday | {A} remembered/remember the birthday of {B} | |
{A} remembered that {B} had a birthday.
{B} had a birthday, and {A} wanted to bring a present.
In {A.s} calendar a red ring marked the birthday of {B}.
{A} had not forgotten the birthday of {B}.
step wrap | {A} wrapped/wrap {o} | |
{A} wrapped {o} in [silk|tissue|brown paper] and tied a [bow|cord] round it.
{A} packed {o} in a box with [stars|moons|ribbons] on the lid.
{A} spent an hour wrapping {o} for {B}.
step give | {A} gave/give {o} to {B} | o>B | *
{A} gave {o} to {B} {P}.
"This is for you," said {A}, and put {o} into {B.s} hands.
{B} tore off the paper, and out came {o}, a gift from {A}.
{A} made {B} a present of {o}.
step delight | {B} loved/love {o} | | +
{B} loved {o} at first sight.
{B} [clapped|cheered|jumped for joy] and would not put {o} down.
"I have always wanted {o}!" cried {B}.
{B} loved {o} and showed it to everyone.
step thank_b | {B} thanked/thank {A} | | +
{B} thanked {A} [warmly|again and again] for the gift.
"What a wonderful gift!" {B} told {A}, and thanked {A.him}.
{B} wrote {A} a long letter of thanks.
step dislike | {B} disliked/dislike {o} | | * -
{B} barely looked at {o} and pushed it aside.
{B} did not like {o} and said so.
"What am I to do with {o}?" asked {B} coldly.
{B} disliked {o} and did not hide it.

step snatch | A {thief} stole/steal {o} from {A} | o~P | * -
A [bold|greedy|hungry|sly] {thief} snatched {o} from {A} {P}.
A {thief} came up behind {A} and made off with {o}.
Before {A} could shout, a {thief} had stolen {o}.
A {thief} stole {o} while {A} took a nap.
step chase | {A} chased/chase the {thief} | |
{A} ran after the {thief} [with a broom|with a stick|without shoes].
{A} shouted and chased the {thief} all the way {Q.to}.
The {thief} was quick, but {A} kept at its heels.
step recover | {A} got/get {o} back from the {thief} | o>A | * +
The {thief} grew tired and let go of {o}, and {A} got it back.
{A} cornered the {thief} {P} and pulled {o} away from it.
{A} threw the {thief} [a bun|some bread], and it dropped {o} in return.
{A} trapped the {thief} in a sack and took back {o}.
step escape | The {thief} escaped/escape with {o} | | * -
The {thief} slipped away with {o} and was not seen again.
{A} could only watch as the {thief} escaped with {o}.
The {thief} escaped with {o}, for all that {A} could do.
The {thief} was too fast, and {o} was gone with it.

step price | {A} put/put {o} up for sale | |
{A} was short of money and put {o} up for sale.
{A} tied a price tag to {o} and set it out {P}.
"Who will buy {o}?" {A} called {P}.
{A} decided to sell {o} {P}.
step haggle | {B} haggled/haggle with {A} over {o} | |
{B} pointed at {o} and offered {A} [half|a third] of the price.
{B} and {A} haggled over {o} for [an hour|half the day].
"That is far too much for {o}," {B} told {A}.
step buy | {B} bought/buy {o} from {A} | o>B | * +
{B} [counted out the coins|emptied a purse] and bought {o} from {A}.
{A} took the money, and {o} now belonged to {B}.
{B} paid {A} the full price and took {o} away.
{A} sold {o} to {B} for [ten|twenty|thirty] coins.
step unsold | {A} failed/fail to sell {o} | | * -
Nobody paid what {A} asked, and {o} stayed unsold.
{B} walked away, and {A} packed up {o} unsold.
{A} waited until dark, but no one bought {o}.
{A} had to take {o} home again, for nobody wanted to buy it.

step quarrel | {A} quarrelled/quarrel with {B} over {o} | | * -
{A} and {B} quarrelled over {o}, and [doors were slammed|both of them shouted].
"You always want {o} for yourself!" {B} shouted at {A}.
{B} wanted {o} too, and so {A} and {B} had a quarrel.
{A} and {B} fell out over {o} {P}.
step silence | {A} avoided/avoid {B} | | -
{A} crossed the road so as not to meet {B}.
For days {A} did not say a word to {B}.
{A} and {B} looked the other way when they met.
step mediate | {C} talked/talk to {A} | |
{C} went to {A} and spoke of peace with {B}.
"Old friends should not fight over {o}," {C} told {A}.
{C} sat down with {A} and spoke of the quarrel with {B}.
step make_up | {A} made/make peace with {B} | | * +
{A} went to {B}, and they [laughed about|soon forgot] the quarrel over {o}.
"Let us share {o}," {A} told {B}, and the quarrel was over.
{A} and {B} made peace and took turns with {o}.
{A} held out a hand to {B}, and all was well again.
step part | {A} ended/end the friendship with {B} | | * -
{A} told {B} never to come back, all for the sake of {o}.
{A} and {B} were friends no longer.
Because of {o}, {A} never spoke to {B} again.
{A} would not forgive {B}, and so the friendship ended.

step entrust | {A} left/leave {o} with {B} | o>B | *
{A} had to travel and left {o} with {B}.
"Please keep {o} safe for me," {A} asked {B}.
{A} gave {B} {o} to look after.
{A} trusted {B} with {o}, only for a while.
step guard | {B} watched/watch over {o} | |
{B} locked {o} in a [safe|trunk|cabinet] and wore the key round {B.his} neck.
{B} never let {o} out of sight.
{B} watched over {o} day and night.
step hand_back | {B} handed/hand {o} back to {A} | o>A | * +
{B} handed {o} back to {A} without a scratch.
{A} came to {B} and got {o} back, safe and sound.
"I guarded it well," said {B}, and handed {o} back to {A}.
{B} gave {A} {o} back on the very day of {A.his} return.
step spoil | {B} ruined/ruin {o} | o! | * -
{B} forgot {o} in the [sun|rain|oven], and it was ruined.
{B} sat on {o} by accident and ruined it.
{B} lent {o} to a stranger, who ruined it.
{B} was careless, and {o} was ruined.
step own_up | {B} confessed/confess to {A} | | -
{B} went red and told {A} what had become of {o}.
"It was my fault," {B} told {A}, and [looked at the floor|bit a lip].
{B} confessed everything to {A}.
"""
