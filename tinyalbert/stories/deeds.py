"""Plots about deeds: cooking, illness, contests, building, journeys, letters and the like.  See plots.py."""

DEEDS = """
plot cook | dish | invite_dish get_parts stir : serve eat? rejoice? / burn scrap? grieve? | \
Proud of the {dish} / Ashamed of the burnt {dish}
plot ill | illness | sicken visit? treat? : heal rejoice? / worsen grieve? | \
Rid of the {illness} / Still weak from the {illness}
plot contest | contest | enrol drill? mock? drill? : win cheer? rejoice? / defeat console? grieve? | \
Famous since the {contest} / Sore about the {contest}
plot learn | skill | resolve teach? slip? practise? : master praise? rejoice? / quit grieve? | \
Able {skill} at last / Too clumsy {skill}
plot build | thing | plan_thing gather work? help? : finish admire_thing? rejoice? / collapse grieve? | \
With the {thing} finished / With the {thing} in ruins
plot crop | crop | sow water? sprout? weed? : harvest share? rejoice? / ruin_crop grieve? | \
Rich in {crop} this year / Without any {crop} this year
plot travel | ride | depart block? mend_way? : arrive greet? rejoice? / turn_back grieve? | \
Back from the journey / Tired from the useless journey
plot party | feast | invite post_letter? accept : prepare celebrate rejoice? / rain_off grieve? | \
Still humming after the {feast} / Disappointed by the {feast}
plot chore | chore | promise remind? : do_chore reward? / forget scold? grieve? | \
True to the promise / Ashamed of a broken promise
plot repair_home | harm | leak get_cure patch? : dry rejoice? / flood grieve? | \
With {harm} dry again / With {harm} leaking
plot job | trade | apply hire blunder? : promote rejoice? / dismiss grieve? | \
Now chief {trade} / Out of work
plot mystery | sight | notice tell_sight? creep? : solve laugh? / flee shiver? | \
Wiser about the {sight} / Haunted by the {sight}
plot pet | animal | stray call? track? hear? : lure cuddle? rejoice? / vanish grieve? | \
With the {animal} home again / Lonely without the {animal}
plot rescue | | slide shout : pull_out wrap_up? thank? / freeze_out sneeze? grieve? | \
Saved by {B} / Bruised all over

step invite_dish | {A} promised/promise {B} {dish} | |
{A} invited {B} to supper and promised {dish}.
{A} planned to cook {dish} for {B} and said so.
"I will cook {dish} for you," {A} promised {B}.
{A} gave {B} a promise: there would be {dish}.
step get_parts | {A} got/get {part} and {part2} | |
{A} got {part} and {part2} for the {dish}.
{A} came home with {part} and {part2} in a [basket|bag].
{A} counted the money and got {part} and {part2}.
{A} needed {part} and {part2} and got both from a neighbour.
step stir | {A} cooked/cook {dish} | |
{A} mixed {part} with {part2} and tasted the {dish}.
The smell of {dish} filled the kitchen of {A}.
{A} put the {dish} on the fire and waited.
{A} hummed and cooked {dish} with great care.
step serve | {A} served/serve {dish} to {B} | | * +
{A} served {B} the {dish}, hot and [golden|fragrant|steaming].
The {dish} was done to a turn, and {A} filled a plate for {B}.
{A} lit candles and served {dish} to {B}.
step eat | {B} ate/eat {dish} | | +
{B} ate three helpings of {dish} and [licked the spoon|asked for more].
{B} praised the {dish} with a full mouth.
Not a crumb of the {dish} was left on the plate of {B}.
{B} ate the {dish} and wanted the recipe.
step burn | {A} burned/burn {dish} | | * -
Smoke rose from the pot, for {A} had burned the {dish}.
{A} fell asleep by the stove, and the {dish} burned.
{A} misread the clock and burned the {dish}.
step scrap | {A} threw/throw {dish} away | | -
{A} scraped the burnt {dish} into the bin.
The burnt {dish} went into the dustbin, and {A} opened every window.
{A} threw the {dish} away and served dry bread to {B}.

step sicken | {A} caught/catch a {illness} | | * -
{A} woke with a {illness} and stayed in bed.
{A} had caught a {illness} and could hardly stand.
{A} shivered and ached, and {B} said it was a {illness}.
step visit | {B} visited/visit {A} | |
{B} sat down at the bed of {A} and read [aloud|an old story].
{B} came to see the patient, {A}, and brought [flowers|grapes|a book].
{B} visited {A} every day [with a joke|with the latest news].
step treat | {B} gave/give {A} {remedy} | |
{B} gave {A} {remedy} for the night.
"{remedy} will help," {B} told {A}, and fetched some.
{B} prepared {remedy}, and {A} took it without a word.
step heal | {A} recovered/recover from the {illness} | | * +
{A} got out of bed, for the {illness} was a thing of the past.
{A} threw off the blankets, cured of the {illness}.
{A} recovered from the {illness} and opened the window.
step worsen | {A} suffered/suffer from the {illness} | | * -
Nothing helped, and {A} went on suffering from the {illness}.
{A} suffered from the {illness} for weeks and grew [thin|pale|weak].
{B} called a specialist, but {A} still suffered from the {illness}.

step enrol | {A} entered/enter the {contest} | |
{A} entered the {contest} and told {B}.
A poster announced the {contest}, and {A} signed up at once.
{A} wrote {A.his} name on the list for the {contest}.
{A} had made up {A.his} mind to take part in the {contest}.
step drill | {A} trained/train for the {contest} | |
{A} {drill} to be ready for the {contest}.
For [days|weeks] {A} {drill}, thinking only of the {contest}.
{A} trained for the {contest} and {drill}.
step mock | {B} mocked/mock {A} | | -
"You will never win the {contest}," {B} told {A}.
{B} laughed at {A}, who wanted to win the {contest}.
{B} made fun of {A} and called the {contest} [a waste of time|child's play].
step win | {A} beat/beat {B} in the {contest} | | * +
{A} won the {contest}, with {B} close behind.
{A} beat {B} in the {contest} and [held up the cup|kissed the medal].
The judges gave {A} first place in the {contest} and {B} second.
{A} left {B} far behind in the {contest}.
step cheer | {C} congratulated/congratulate {A} | | +
{C} congratulated {A} on the great victory.
{C} carried {A} through the crowd on {C.his} shoulders.
"Three cheers for {A}!" shouted {C}.
step defeat | {B} beat/beat {A} in the {contest} | | * -
{A} came last in the {contest}, which {B} won.
{B} beat {A} in the {contest} without even trying.
The judges gave {B} first place in the {contest}, and {A} got nothing.
{B} won the {contest}, far ahead of {A}.
step console | {C} comforted/comfort {A} | |
{C} put an arm round {A} and spoke of next year.
{C} comforted {A} with [a mug of cocoa|a joke|kind words].
"You fought well," {C} told {A}.

step resolve | {A} wanted/want {skill} | |
{A} had always wanted {skill} like {B}.
{A} told {B} that it was high time to learn how {skill}.
"I want {skill}," {A} told {B}.
step teach | {B} taught/teach {A} {skill} | |
{B} showed {A} how {skill}, step by step.
{B} gave {A} a lesson in how {skill}.
{B} taught {A} {skill} and was very patient.
step slip | {A} made/make a mistake | | -
On the first try {A} {slip}.
{A} {slip}, and everyone [giggled|laughed].
{A} tried and tried but {slip}.
step practise | {A} practised/practise every day | |
{A} practised every day until {A.his} arms ached.
{A} practised [before work|at night] and took notes.
Day after day {A} went on practising.
step master | {A} learned/learn {skill} | | * +
{A} learned {skill} so well that people came to watch.
All at once it was easy for {A} {skill}.
{A} knew how {skill} at last, and {B} applauded.
step praise | {B} praised/praise {A} | | +
{B} praised {A} in front of [everyone|the whole family].
"You are a born master," {B} told {A}.
{B} said that {A} had a rare gift.
step quit | {A} gave/give up trying {skill} | | * -
{A} swore never again to try {skill}.
{A} gave up trying {skill} and [kicked a stone|slammed the door].
"I shall never learn how {skill}," said {A}, and gave up.

step plan_thing | {A} planned/plan a {thing} | |
{A} drew a sketch of a {thing} on the back of an envelope.
{A} had the idea to make a {thing} and told {B}.
{A} dreamed of a {thing} and measured the ground {P}.
{A} planned a {thing} {P}.
step gather | {A} gathered/gather {stuff} and {stuff2} | |
{A} gathered {stuff} and {stuff2} for the {thing}.
{A} loaded {stuff} and {stuff2} on a cart.
{A} asked all round for {stuff} and {stuff2} and got enough.
step work | {A} worked/work on the {thing} | |
{A} sawed, tied and hammered at the {thing}.
{A} rolled up {A.his} sleeves and worked on the {thing}.
The {thing} took shape under the hands of {A}.
step help | {B} helped/help {A} with the {thing} | |
{B} came to help {A} with the {thing}.
{B} held the {thing} steady for {A}.
{A} could not lift the {thing} alone, and so {B} helped.
step finish | {A} finished/finish the {thing} | | * +
{A} put the last piece in place, and the {thing} was finished.
{A} finished the {thing} and [stepped back|took a photograph].
The {thing} was finished and bore the name of {A}.
step admire_thing | {B} praised/praise the {thing} | | +
{B} walked round the {thing} and praised it.
"This is the best {thing} that I have ever seen," said {B}.
{B} knocked on the {thing} and nodded with respect.
step collapse | The {thing} collapsed/collapse | | * -
The {thing} creaked and collapsed before the eyes of {A}.
A gust of wind was enough, and the {thing} collapsed.
{A} leaned on the {thing}, and it collapsed.

step sow | {A} planted/plant {crop} | |
{A} dug long rows and planted {crop}.
{A} planted {crop} behind the house.
{A} bought a packet of seeds and planted {crop}.
step water | {A} watered/water the {crop} | |
{A} carried can after can to water the {crop}.
{A} watered the {crop} [at sunrise|every evening].
No day went by on which {A} did not water the {crop}.
step sprout | The {crop} sprouted/sprout | | +
Small green leaves showed where {A} had put the {crop}.
The {crop} sprouted, and {A} counted the shoots.
{A} saw that the {crop} had sprouted.
step weed | {A} drove/drive off the {pest} | |
{A} drove off the {pest} that came for the {crop}.
{A} made a scarecrow against the {pest}.
{A} set a trap for the {pest} and sat up to watch the {crop}.
step harvest | {A} harvested/harvest the {crop} | | * +
{A} harvested the {crop}, and the baskets overflowed.
The {crop} were ripe, and {A} brought in the harvest.
{A} needed a wagon to bring home all the {crop}.
step share | {A} shared/share the {crop} with {B} | | +
{A} left a basket of {crop} on the step of {B}.
{A} had more {crop} than one can eat and shared with {B}.
{B} got a sack of {crop} from {A}.
step ruin_crop | The {pest} ate/eat the {crop} | | * -
The {pest} came in the night and ate all the {crop}.
{A} found nothing but {pest} where the {crop} had been.
All the {crop} of {A} were eaten by {pest}.

step depart | {A} set/set out {ride} | |
{A} packed [two bags|some bread|warm clothes] and set out {ride}.
{A} said goodbye to {C} and left {ride}.
{A} set out {ride} to see {B} {P}.
{A} left home {ride}, bound for the house of {B}.
step block | {A} met/meet with trouble | | -
{block}, and {A} could go no farther.
{block}, and {A} did not know what to do.
{A} groaned: {block.low}.
step mend_way | {A} asked/ask strangers for help | |
{A} waved to some strangers and asked for help.
{A} waited for hours until some strangers came to help.
Two strangers stopped, and {A} asked them for help.
step arrive | {A} reached/reach the house of {B} | | * +
{A} rang the bell of {B} and put down the luggage.
{A} saw the lights of the house of {B} and ran the last steps.
After a long way {A} reached the house of {B}.
step greet | {B} welcomed/welcome {A} | | +
{B} welcomed {A} with open arms.
{B} gave {A} [soup|tea|a soft chair] and wanted to hear everything.
"Come in, come in!" {B} told {A}.
step turn_back | {A} turned/turn back | | * -
{A} turned back without having seen {B}.
{A} had to turn back, and {B} waited in vain.
{B} was not at home, and {A} turned back.

step invite | {A} invited/invite {B} to the {feast} | |
{A} wrote a card and invited {B} to the {feast}.
"You must come to the {feast}," {A} told {B}.
{A} invited {B} to the {feast} {P}.
{A} sent {B} an invitation to the {feast}.
step post_letter | {C} delivered/deliver a letter to {B} | |
{C} put a letter from {A} into the hands of {B}.
{C} ran all the way to {B} with the letter from {A}.
{C} delivered the letter from {A}, and {B} read it twice.
step accept | {B} accepted/accept the invitation | |
{B} accepted the invitation and looked for something to wear.
{B} answered {A} that the invitation was accepted.
"I shall be there," {B} told {A}, and accepted the invitation.
step prepare | {A} made/make {treat} | |
{A} made {treat} for all the guests.
{A} hung up paper lamps and made {treat}.
{A} was up before dawn to make {treat} for the {feast}.
step celebrate | {A} celebrated/celebrate with {B} | | * +
{A} and {B} celebrated [all night|until the cock crowed].
{A} and {B} danced at the {feast} until their feet hurt.
{A} opened the {feast} with a speech, and {B} clapped.
step rain_off | {A} cancelled/cancel the {feast} | | * -
{A} had to cancel the {feast}, for {A.his} money was gone.
Nobody but {B} came, and {A} cancelled the {feast}.
{A} cancelled the {feast} at the last minute and sent {B} home.

step promise | {A} promised/promise to {chore} | |
{A} promised {B} to {chore}.
"I will {chore}," {A} promised {B}.
{A} gave {B} {A.his} word to {chore}.
step remind | {B} reminded/remind {A} | |
{B} reminded {A} of the promise.
"Do not forget to {chore}," {B} told {A}.
{B} left {A} a note that said what had been promised.
step do_chore | {A} kept/keep the promise | | * +
{A} kept the promise and {chored}.
{A} got up early and {chored}, as had been promised.
{A} {chored} and so kept {A.his} word.
step reward | {B} rewarded/reward {A} | | +
{B} rewarded {A} with [a coin|a pancake|a day off].
{B} thanked {A} and bought {A.him} [an ice cream|a hot drink].
"Well done," {B} told {A}, and reached for a purse.
step forget | {A} broke/break the promise | | * -
{A} forgot to {chore} and so broke the promise.
{A} went fishing and broke the promise to {chore}.
{A} was too lazy to {chore} and broke the promise.
step scold | {B} scolded/scold {A} | | -
{B} scolded {A} for breaking the promise.
"I shall not trust you again," {B} told {A}.
{B} shouted at {A} so that the neighbours heard it.

step leak | Water came/come through {harm} | | * -
Water came through {harm}, and {A} put down a bucket.
{A} heard a drip: water was coming through {harm}.
Water came through {harm} and woke {A}.
step get_cure | {A} got/get {cure} | |
{A} got {cure} to seal {harm}.
{A} borrowed {cure} from {B}.
{A} went for {cure} and came back out of breath.
step patch | {A} patched/patch {harm} | |
{A} climbed up and patched {harm}.
{A} patched {harm} while {B} held the lamp.
{A} worked on {harm} with {cure}.
step dry | The house stayed/stay dry | | * +
Not another drop came through {harm}, and {A} stayed dry.
{A} emptied the bucket: the house stayed dry.
{A} listened for a drip, but all stayed dry.
step flood | Water flooded/flood the house | | * -
The repair did not hold, and water flooded the house of {A}.
{harm} gave way, and water flooded the house.
{A} waded through the rooms, for water had flooded the house.

step apply | {A} applied/apply for work as a {trade} | |
{A} applied for work as a {trade}.
"Do you need a {trade}?" {A} asked {B}.
{A} read that {B} needed a {trade} and applied for the job.
step hire | {B} hired/hire {A} | | +
{B} hired {A} on the spot.
{B} hired {A} as a {trade}, on trial for a week.
"You may begin at once," {B} told {A}.
step blunder | {A} made/make a blunder | | -
{A} {blunder}, a bad blunder for a {trade}.
Being nervous, {A} {blunder}.
In the first hour {A} {blunder}.
step promote | {B} promoted/promote {A} | | * +
{B} promoted {A} to chief {trade} with better pay.
{B} was so content with {A} that a promotion followed.
{B} promoted {A}, who had become the best {trade} in the land.
step dismiss | {B} dismissed/dismiss {A} | | * -
{B} dismissed {A} without [notice|pay|a word of thanks].
{B} looked for another {trade} and dismissed {A}.
"You are dismissed," {B} told {A}.

step notice | {A} noticed/notice a {sight} {P} | |
{A} noticed a {sight} {P}.
{A} stopped {P}, for there was a {sight}.
{P}, {A} rubbed {A.his} eyes: there was a {sight}.
step tell_sight | {A} told/tell {B} about a {sight} | |
{A} ran to {B} and told {B.him} about a {sight}.
"Come quickly, there is a {sight}!" {A} told {B}.
{A} told {B} about a {sight}, but {B} only smiled.
step creep | {A} crept/creep closer | |
{A} crept closer on tiptoe to learn the truth.
{A} took a deep breath and crept closer.
Step by step {A} crept closer, with a beating heart.
step solve | {A} discovered/discover {cause} | | * +
{A} discovered that it was nothing but {cause}.
It was only {cause}, as {A} discovered.
{A} looked again and discovered the reason: {cause}.
step laugh | {A} laughed/laugh about the {sight} | | +
{A} laughed about the {sight} until tears came.
{A} and {B} laughed about the {sight} for days.
Whenever {A} thought of the {sight}, a laugh followed.
step flee | {A} fled/flee from the {sight} | | * -
{A} fled from the {sight} and lost a shoe on the way.
{A} screamed and fled from the {sight}.
Away ran {A}, in fear of the {sight}.
step shiver | {A} hid/hide under the blankets | | -
{A} hid under the blankets and did not sleep.
{A} bolted the door and hid under the blankets.
{A} hid under the blankets until the cock crowed.

step stray | The {animal} ran/run away from {A} | | * -
{A.s} {animal} [slipped|broke] through a hole in the fence and ran away.
A loud bang scared {A.s} {animal}, and it ran away.
{A} left the gate open, and the {animal} ran away.
step call | {A} called/call the {animal} {Q} | |
{A} called the {animal} {Q}, but [nothing stirred|there was no answer].
{A} stood {Q} and called the {animal} again and again.
{Q}, {A} called the {animal} at the top of {A.his} voice.
step track | {A} followed/follow the {animal} {P.to} | |
{A} followed the tracks of the {animal} {P.to}.
Muddy prints of the {animal} led {A} {P.to}.
{A} went {P.to}, where the {animal} had left some hairs.
step hear | {A} heard/hear the {animal} {P} | |
The {animal} {cry} {P}, and {A} pricked up {A.his} ears.
{A} stopped {P}, for the {animal} {cry} somewhere near.
Something {cry} {P}, and {A} knew that it was the {animal}.
step lure | {A} caught/catch the {animal} | | * +
{A} held out {bait}, and the {animal} came [running|trotting] back.
With {bait} {A} lured the {animal} out and caught it.
The {animal} could not resist {bait}, and {A} caught it.
step cuddle | {A} stroked/stroke the {animal} | | +
{A} stroked the {animal} and bolted the gate.
The {animal} slept at the feet of {A}, who stroked it.
{A} stroked the {animal} and scolded it softly.
step vanish | {A} failed/fail to catch the {animal} | | * -
The {animal} darted off whenever {A} came near, and {A.he} went home alone.
{A} did not catch the {animal}, and its bed stayed empty.
{A} went home without the {animal}.

step slide | {A} fell/fall into a ditch {P} | | * -
{A} slipped {P} and fell into a ditch.
{P}, {A} lost {A.his} footing and slid into a ditch.
{A} was looking at the sky {P} and fell into a ditch.
step shout | {A} shouted/shout for help | |
{A} shouted for help until {A.his} voice broke.
"Help, I am stuck in a ditch!" shouted {A}.
{A} shouted for help and waved a handkerchief.
step pull_out | {B} pulled/pull {A} out of the ditch | | * +
{B} let down a rope and pulled {A} out of the ditch.
{B} heard the shouts and pulled {A} out of the ditch.
With a long pole {B} pulled {A} out of the ditch.
step wrap_up | {C} gave/give {A} a blanket | |
{C} wrapped {A} in a blanket and made tea.
{C} gave {A} a warm blanket.
{A} sat by the fire in a blanket that {C} had brought.
step freeze_out | {A} spent/spend the night in the ditch | | * -
No one came, and {A} spent the night in the ditch.
{A} climbed and slid back, and spent the night in the ditch.
{A} spent the night in the ditch, counting the stars.
step sneeze | {A} sneezed/sneeze for days | | -
{A} sneezed for days and drank hot milk.
"Achoo!" said {A}, and went on sneezing for days.
{A} could not stop sneezing.
"""
