{#- Postgres itself says what depends on a relation, of whatever kind and however far away. -#}
{% macro drop_if_unused(relation) %}
    {%- call statement('drop_if_unused') -%}
        do $$
        declare
            dependents text := '';
        begin
            begin
                drop {{ relation.type | replace('_', ' ') }} if exists {{ relation }};
            exception when dependent_objects_still_exist then
                get stacked diagnostics dependents = pg_exception_detail;
            end;
            perform set_config('nyc_tlc.dependents', dependents, true);
        end
        $$
    {%- endcall -%}
    {%- set dependents = run_query("select current_setting('nyc_tlc.dependents')").rows[0][0] -%}
    {#- A line each: "view public.mine depends on view tlc_marts.trips". -#}
    {{ return(modules.re.sub(' depends on [^\n]*', '', dependents).replace('\n', ', ')) }}
{% endmacro %}
