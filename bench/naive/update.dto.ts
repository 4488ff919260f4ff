import { IsInt, IsObject, IsOptional, IsString, MaxLength, Min, ValidateNested } from 'class-validator';
import { Type } from 'class-transformer';
import { type JsonObject } from '../../src/replica/json.js';

export class StateDto {
  @IsOptional() @IsObject() reported?: JsonObject;
  @IsOptional() @IsObject() desired?: JsonObject;
}

/** A request to update, as a Nest service would have it checked. */
export class UpdateDto {
  @IsObject()
  @ValidateNested()
  @Type(() => StateDto)
  state!: StateDto;

  @IsOptional() @IsInt() @Min(0) version?: number;
  @IsOptional() @IsString() @MaxLength(64) clientToken?: string;
}
